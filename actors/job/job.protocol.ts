import type { JobSnapshot, JobSummary } from '#actors/contract/live.ts';
import type { ObjectRef } from '#actors/contract/primitives.ts';
import type {
  AttemptEvent,
  AttemptReport,
  CheckpointEvent,
  IncomingVote,
  IncomingVotes,
  OutputOffer,
  PlacedLease,
} from '#actors/job/jobs.protocol.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** One job: its state, progress, sealing and manifest. The job's QuorumActor and ShardActors are its children. */
export const JobProtocol = protocol('job', {
  leased: tell<PlacedLease[]>(),
  vote: tell<IncomingVote>(),
  votes: tell<IncomingVotes>(),
  offer: tell<OutputOffer>(),
  attempt: tell<AttemptEvent>(),
  checkpoint: tell<CheckpointEvent>(),
  report: tell<AttemptReport[]>(),
  /** From the QuorumActor: a durable decision. */
  provisional: tell<{ index: number; output: ObjectRef }>(),
  counted: tell<{ index: number }>(),
  /** From a ShardActor: attempts failed too often. */
  shardFailed: tell<{ index: number; reason: string }>(),
  /** From a ShardActor: the shard wants another attempt. */
  reopened: tell<{ index: number }>(),
  /** Another job has ended: it may be one that this one waits for. */
  jobEnded: tell<string>(),
  control: ask<'pause' | 'resume' | 'cancel', JobSummary>(),
  snapshot: ask<void, JobSnapshot>(),
});
export type JobRef = Ref<typeof JobProtocol>;
