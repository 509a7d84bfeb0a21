import { z } from 'zod';

import { DeviceState, JobState, ShardState } from './job-states.ts';
import { View } from './job-spec.ts';
import { Bytes, DeviceId, Fence, JobId, ObjectRef, Sha256 } from './primitives.ts';

/**
 * What people see: the shapes of the HTTP API's answers and of the socket.io feed.
 *
 * socket.io, namespace `/`, `auth: { key }`. Every request is acknowledged with `Answer<T>`.
 *   client → server   `jobs` ()                    JobSummary[]          newest first
 *                     `devices` ()                 DeviceSummary[]
 *                     `submit` (Submission)        JobSummary
 *                     `watch` ({ job })            JobSnapshot           joins the job's room
 *                     `unwatch` ({ job })          true
 *                     `shard` ({ job, index })     ShardDetail
 *                     `why` ({ job, index? })      WhyPending            why it waits, with counts per reason
 *   server → client   `job` (JobDelta)             to watchers of that job; a gap in `seq` means: watch again
 *                     `jobs:changed` (JobSummary)  any job of the tenant
 *                     `device` (DeviceSummary)     any device
 */

export const ShardCounts = z.record(ShardState, z.number().int().nonnegative());
export type ShardCounts = z.infer<typeof ShardCounts>;

export const JobSummary = z.strictObject({
  id: JobId,
  name: z.string(),
  state: JobState,
  tenant: z.string(),
  submittedBy: z.string(),
  submittedAt: z.number(),
  finishedAt: z.number().nullable(),
  shards: z.number().int(),
  counts: ShardCounts,
  votes: z.number().int(),
  quorum: z.number().int(),
  /** The error that the job allows, when it goes by belief in its devices and not by a count of votes. */
  maxError: z.number().optional(),
  /** False for quorum 1: nobody checked the results. */
  verified: z.boolean(),
  module: Sha256,
  view: View.nullable(),
  hasMerge: z.boolean(),
  /** Why it failed, or why its shards wait; empty when all is well. */
  reasons: z.array(z.strictObject({ reason: z.string(), shards: z.number().int() })),
});
export type JobSummary = z.infer<typeof JobSummary>;

/** `states[i]` is the index of shard i's state in SHARD_STATES. */
export const JobSnapshot = z.strictObject({ seq: z.number().int(), summary: JobSummary, states: Bytes });
export type JobSnapshot = z.infer<typeof JobSnapshot>;

export const JobDelta = z.strictObject({
  seq: z.number().int(),
  summary: JobSummary,
  changes: z.array(z.tuple([z.number().int(), z.number().int()])),
});
export type JobDelta = z.infer<typeof JobDelta>;

export const VoteDetail = z.strictObject({
  device: DeviceId,
  deviceName: z.string(),
  fence: Fence,
  state: z.enum(['accepted', 'refused']),
  reason: z.string().nullable(),
  sha256: Sha256,
  size: z.number().int(),
  signature: z.string(),
  agrees: z.boolean(),
  at: z.number(),
});
export type VoteDetail = z.infer<typeof VoteDetail>;

export const AttemptDetail = z.strictObject({
  fence: Fence,
  device: DeviceId,
  deviceName: z.string(),
  state: z.string(),
  leasedAt: z.number(),
  endedAt: z.number().nullable(),
  reason: z.string().nullable(),
});
export type AttemptDetail = z.infer<typeof AttemptDetail>;

/** Something that happened to a shard of a job: an attempt began (`leased`) or ended, or a vote was refused. */
export interface HistoryEntry {
  readonly at: number;
  readonly shard: number;
  readonly device: string;
  readonly deviceName: string;
  readonly event: string;
  readonly reason: string | null;
}

export const ShardDetail = z.strictObject({
  job: JobId,
  index: z.number().int(),
  state: ShardState,
  quorum: z.number().int(),
  maxError: z.number().optional(),
  output: ObjectRef.nullable(),
  votes: z.array(VoteDetail),
  attempts: z.array(AttemptDetail),
});
export type ShardDetail = z.infer<typeof ShardDetail>;

export const DeviceSummary = z.strictObject({
  id: DeviceId,
  name: z.string(),
  state: DeviceState,
  /** It drains, and nothing is left there: it may be switched off. */
  drained: z.boolean().optional(),
  /** First 16 hex digits of the SHA-256 of its public key. */
  fingerprint: z.string(),
  os: z.string().nullable(),
  arch: z.string().nullable(),
  cores: z.number().int().nullable(),
  memoryBytes: z.number().nullable(),
  slots: z.number().int().nullable(),
  running: z.number().int(),
  load: z.number().nullable(),
  models: z.array(z.strictObject({ name: z.string(), state: z.string(), memoryBytes: z.number() })),
  agentVersion: z.string().nullable(),
  lastSeenAt: z.number().nullable(),
  enrolledAt: z.number(),
});
export type DeviceSummary = z.infer<typeof DeviceSummary>;

/** What a device has earned: it is believed right with `belief`, in each app by itself. */
export const DeviceTrust = z.strictObject({
  device: DeviceId,
  /** Who vouches for it. */
  principal: z.string(),
  trusted: z.boolean(),
  apps: z.array(
    z.strictObject({
      app: Sha256,
      belief: z.number(),
      results: z.number().int(),
      strikes: z.number().int(),
      /** Why it gets no work of the app; null when it does. */
      quarantine: z.string().nullable(),
      updatedAt: z.number(),
    }),
  ),
});
export type DeviceTrust = z.infer<typeof DeviceTrust>;

export interface ProblemJson {
  code: string;
  message: string;
  path?: string;
  fix?: string;
  requestId?: string;
}

export type Answer<T> = { ok: true; value: T } | { ok: false; error: ProblemJson };
