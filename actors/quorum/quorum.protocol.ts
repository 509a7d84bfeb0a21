import type { IncomingVote, IncomingVotes, OutputOffer } from '#actors/job/jobs.protocol.ts';
import type { AttemptRow, ShardRow, VoteRow } from '#actors/store/store.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** The evidence of some of a job's provisional shards, or of all. */
export interface ReviewRequest {
  readonly shards: readonly ShardRow[];
  /** All votes on them. */
  readonly votes: readonly VoteRow[];
  /** What does not stand goes to a trusted device at once. */
  readonly lastWord: boolean;
  /** More of the same job: by the credit that the call before this one has read. */
  readonly again?: boolean;
}

/** How a shard stands at the end. */
export interface Standing {
  readonly belief: number | null;
  readonly by: 'quorum' | 'belief' | 'core';
}

export interface ReviewAnswer {
  /** Shards that were taken back and want another vote. */
  readonly reopened: readonly number[];
  /** Shards that do not stand, and that nobody is left to vote on. */
  readonly lost: readonly { index: number; reason: string }[];
  /** Of the shards that stand, by index. */
  readonly standing: ReadonlyMap<number, Standing>;
}

/** Votes of one job's open shards, and what they decide. */
export const QuorumProtocol = protocol('quorum', {
  /** Attempts that may vote from now on. Told before their commands go out. */
  leased: tell<Pick<AttemptRow, 'fence' | 'shardId' | 'index' | 'device'>[]>(),
  vote: tell<IncomingVote>(),
  votes: tell<IncomingVotes>(),
  /** Leave to upload is given to the holder of the lease, for one hash, within the job's output limit. */
  offer: tell<OutputOffer>(),
  /** Before anything is built on accepted results: judges them again with today's credit of their voters. */
  review: ask<ReviewRequest, ReviewAnswer>(),
});
export type QuorumRef = Ref<typeof QuorumProtocol>;
