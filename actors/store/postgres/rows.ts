import { sql } from 'kysely';

import type { Capabilities } from '#actors/contract/agent-link.ts';
import type { AttemptState, DeviceState, JobState, ShardState } from '#actors/contract/job-states.ts';
import type { VoteBatch } from '#actors/contract/vote-batch.ts';
import type { JobSpec } from '#actors/contract/job-spec.ts';
import type { AttemptRow, Decided, DeviceRow, JobRow, ShardRow, VoteRow } from '../store.ts';

/**
 * Columns as they are selected, and rows as the store answers them: the one place where the two meet.
 * `bigint` comes as a number because runtime/database parses it so (and rejects what a number cannot hold).
 */

export const JOB_COLUMNS = sql`j.id, j.partition, j.tenant, j.submitted_by, j.spec, j.state, j.reason, j.submitted_at, j.finished_at`;

export interface JobRecord {
  id: string;
  partition: number;
  tenant: string;
  submitted_by: string;
  spec: JobSpec;
  state: JobState;
  reason: string | null;
  submitted_at: number;
  finished_at: number | null;
}

export function jobRow(r: JobRecord): JobRow {
  return {
    id: r.id,
    partition: r.partition,
    tenant: r.tenant,
    submittedBy: r.submitted_by,
    spec: r.spec,
    state: r.state,
    reason: r.reason,
    submittedAt: r.submitted_at,
    finishedAt: r.finished_at,
  };
}

export const SHARD_COLUMNS = sql`s.id, s.shard_index, s.state, s.wanted, s.failures, s.output_sha256, s.output_size, s.core_only, s.belief, s.decided_by, s.retry_at`;

export interface ShardRecord {
  id: number;
  shard_index: number;
  state: ShardState;
  wanted: number;
  failures: number;
  output_sha256: string | null;
  output_size: number | null;
  core_only: boolean;
  belief: number | null;
  decided_by: Decided['by'] | null;
  retry_at: number | null;
}

export function shardRow(r: ShardRecord): ShardRow {
  const output = r.output_sha256 === null || r.output_size === null ? null : { sha256: r.output_sha256, size: r.output_size };
  const decided = r.decided_by === null ? {} : { decided: { by: r.decided_by, belief: r.belief } };
  return {
    id: r.id,
    index: r.shard_index,
    state: r.state,
    wanted: r.wanted,
    failures: r.failures,
    output,
    coreOnly: r.core_only,
    ...decided,
    ...(r.retry_at === null ? {} : { retryAt: r.retry_at }),
  };
}

export const ATTEMPT_COLUMNS = sql`a.epoch, a.seq, a.job_id, a.shard_id, a.shard_index, a.device, a.state, a.leased_at, a.ended_at, a.reason`;

export interface AttemptRecord {
  epoch: number;
  seq: number;
  job_id: string;
  shard_id: number;
  shard_index: number;
  device: string;
  state: AttemptState;
  leased_at: number;
  ended_at: number | null;
  reason: string | null;
}

export function attemptRow(r: AttemptRecord): AttemptRow {
  return {
    fence: { epoch: r.epoch, seq: r.seq },
    job: r.job_id,
    shardId: r.shard_id,
    index: r.shard_index,
    device: r.device,
    state: r.state,
    leasedAt: r.leased_at,
    endedAt: r.ended_at,
    reason: r.reason,
  };
}

export const VOTE_COLUMNS = sql`v.epoch, v.seq, v.job_id, v.shard_id, v.shard_index, v.device, v.sha256, v.size, v.bytes, v.signature, v.batch, v.refusal, v.at`;

export interface VoteRecord {
  epoch: number;
  seq: number;
  job_id: string;
  shard_id: number;
  shard_index: number;
  device: string;
  sha256: string;
  size: number;
  bytes: Uint8Array | null;
  signature: string;
  batch: VoteBatch | null;
  refusal: string | null;
  at: number;
}

export function voteRow(r: VoteRecord): VoteRow {
  return {
    fence: { epoch: r.epoch, seq: r.seq },
    job: r.job_id,
    shardId: r.shard_id,
    index: r.shard_index,
    device: r.device,
    output: { sha256: r.sha256, size: r.size },
    bytes: r.bytes && new Uint8Array(r.bytes),
    signature: r.signature,
    ...(r.batch === null ? {} : { batch: r.batch }),
    refusal: r.refusal,
    at: r.at,
  };
}

export const DEVICE_COLUMNS = sql`d.id, d.name, d.public_key, d.state, d.session_epoch, d.capabilities, d.last_seen_at, d.enrolled_at, d.principal, d.trusted`;

export interface DeviceRecord {
  id: string;
  name: string;
  public_key: string;
  state: DeviceState;
  session_epoch: number;
  capabilities: Capabilities | null;
  last_seen_at: number | null;
  enrolled_at: number;
  principal: string;
  trusted: boolean;
}

export function deviceRow(r: DeviceRecord): DeviceRow {
  return {
    id: r.id,
    name: r.name,
    publicKey: r.public_key,
    state: r.state,
    sessionEpoch: r.session_epoch,
    capabilities: r.capabilities,
    lastSeenAt: r.last_seen_at,
    enrolledAt: r.enrolled_at,
    principal: r.principal,
    trusted: r.trusted,
  };
}

/** A list of states as SQL text, so that it matches the predicate of a partial index (a parameter would not). */
export function stateList(states: readonly string[]) {
  return sql.join(states.map((state) => sql.lit(state)));
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Job ids are uuid columns: whatever else people ask for does not exist, and must not become a failed statement. */
export function isJobId(text: string): boolean {
  return UUID.test(text);
}
