import type { CheckpointMessage, VoteMessage, VotesMessage } from '#actors/contract/agent-link.ts';
import type { Submission } from '#actors/contract/job-spec.ts';
import type { HistoryEntry, JobSnapshot, JobSummary, ShardDetail } from '#actors/contract/live.ts';
import type { HistoryQuery } from '#actors/store/history.ts';
import type { Fence, ObjectRef } from '#actors/contract/primitives.ts';
import type { Receipt } from '#actors/contract/receipt.ts';
import type { WhyPending } from '#actors/contract/why-pending.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { JobRef } from '#actors/job/job.protocol.ts';
import type { AttemptRow, Lease } from '#actors/store/store.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** A lease that is durable, and the session that shall run it. */
export interface PlacedLease {
  readonly lease: Lease;
  readonly device: DeviceRef;
}

/** A vote as it came from a device, whose key the session proved. */
export interface IncomingVote {
  readonly message: VoteMessage;
  readonly device: string;
  readonly publicKey: string;
  readonly principal: string;
  readonly trusted: boolean;
  readonly from: DeviceRef;
  /** It may have come before, to a life of the job that did not answer: no offence if it is on record already. */
  readonly again: boolean;
}

/** A whole batch of votes as it came from a device. */
export interface IncomingVotes extends Omit<IncomingVote, 'message'> {
  readonly message: VotesMessage;
}

/** An agent asks for leave to upload an output that is too large for its vote. */
export interface OutputOffer {
  readonly fence: Fence;
  readonly job: string;
  readonly index: number;
  readonly output: ObjectRef;
  readonly device: string;
  readonly from: DeviceRef;
}

/** What a device says about a checkpoint of an attempt that it runs. */
export interface CheckpointEvent {
  readonly job: string;
  readonly index: number;
  readonly device: string;
  readonly from: DeviceRef;
  readonly message: CheckpointMessage;
}

/** What happened to an attempt, as its device's session sees it. */
export interface AttemptEvent {
  readonly job: string;
  readonly index: number;
  readonly fence: Fence;
  readonly event: 'suspect' | 'expired' | 'failed' | 'released';
  readonly reason: string;
}

/** A new session says which of its device's attempts it still holds; the others are lost. */
export interface AttemptReport {
  readonly attempt: Pick<AttemptRow, 'fence' | 'job' | 'index'>;
  readonly held: boolean;
  readonly device: DeviceRef;
}

/** All jobs of this coordinator's partitions: wakes JobActors and routes what is meant for them. Never waits. */
export const JobsProtocol = protocol('jobs', {
  /** The job is in the store and open. */
  created: tell<string>(),
  leased: tell<PlacedLease[]>(),
  vote: tell<IncomingVote>(),
  votes: tell<IncomingVotes>(),
  offer: tell<OutputOffer>(),
  attempt: tell<AttemptEvent>(),
  checkpoint: tell<CheckpointEvent>(),
  report: tell<AttemptReport[]>(),
  /** The database was away: what its last commits did is unknown, so every job is read again. */
  reload: tell(),
  /** This coordinator owns these partitions now, at these epochs: wakes their jobs. */
  gained: ask<ReadonlyMap<number, number>>(),
  /** It owns these no more. Answered when their jobs have ended and nothing of them is still being written. */
  released: ask<readonly number[]>(),
  /** The actor of an open job. */
  find: ask<string, JobRef | null>(),
});
export type JobsRef = Ref<typeof JobsProtocol>;

/** Who submits. */
export interface Submitter {
  readonly tenant: string;
  readonly name: string;
  readonly role: 'admin' | 'submitter';
}

/** What people and programs ask of jobs. Reads the store itself, so that routing never waits for a long answer. */
export interface JobDesk {
  submit(submission: Submission, by: Submitter): Promise<JobSummary>;
  /** `tenant` null: any tenant's. NOT_FOUND when there is none that may be seen. */
  control(job: string, action: 'pause' | 'resume' | 'cancel', tenant: string | null): Promise<JobSummary>;
  snapshot(job: string, tenant: string | null): Promise<JobSnapshot>;
  shard(job: string, index: number, tenant: string | null): Promise<ShardDetail>;
  /** The newest of what happened to its shards, newest first. */
  history(job: string, query: HistoryQuery, tenant: string | null): Promise<HistoryEntry[]>;
  /** Why shards of the job wait, or why this one does. */
  why(job: string, index: number | null, tenant: string | null): Promise<WhyPending>;
  /** Accepted output of one shard: the object, and its bytes when they are small. */
  output(job: string, index: number, tenant: string | null): Promise<{ ref: ObjectRef; bytes: Uint8Array | null }>;
  outputs(job: string, tenant: string | null): Promise<{ index: number; ref: ObjectRef }[]>;
  /** Receipts of a sealed job; NOT_FOUND before. */
  receipts(job: string, indexes: readonly number[] | 'all', tenant: string | null): Promise<Receipt[]>;
  list(tenant: string | null, limit: number): Promise<JobSummary[]>;
}
