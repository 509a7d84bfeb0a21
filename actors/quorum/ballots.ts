import { fenceText } from '#actors/contract/primitives.ts';
import type { AttemptRow, ShardRow, VoteRow } from '#actors/store/store.ts';

import type { BallotVote, ShardBallot } from './quorum.state.ts';
import type { AppTrust } from './trust-book.ts';
import type { KnownLease } from './vote-checks.ts';

/** What a job's rows say about its votes at the start of an activation. */
export interface Rows {
  readonly shards: readonly ShardRow[];
  readonly attempts: readonly AttemptRow[];
  readonly votes: readonly VoteRow[];
}

/** Votes and leases of a job's shards, as far as the QuorumActor has to remember them. */
export class Ballots {
  readonly leases = new Map<string, KnownLease>();
  /** Signatures of the votes that count, by fence. */
  readonly cast = new Map<string, string>();
  /** By index: a merge shard of a small job and a map shard of a huge one are looked up alike. */
  readonly open = new Map<number, ShardRow>();
  readonly #ballots = new Map<number, ShardBallot>();
  readonly #planned = new Map<number, number>();
  readonly #trust: AppTrust;
  readonly #firstVotes: number;

  /** `firstVotes`: attempts that a new shard wants. */
  constructor({ shards, attempts, votes }: Rows, trust: AppTrust, firstVotes: number) {
    this.#trust = trust;
    this.#firstVotes = firstVotes;
    for (const shard of shards) {
      if (shard.state === 'provisional' || shard.state === 'sealed' || shard.state === 'failed') continue;
      this.open.set(shard.index, shard);
      if (shard.wanted !== firstVotes) this.#planned.set(shard.index, shard.wanted);
    }
    for (const attempt of attempts) {
      this.leases.set(fenceText(attempt.fence), attempt);
      if (attempt.state === 'leased') this.#planned.set(attempt.index, (this.#planned.get(attempt.index) ?? firstVotes) + 1);
    }
    for (const vote of votes) {
      this.leases.set(fenceText(vote.fence), vote);
      this.cast.set(fenceText(vote.fence), vote.signature);
      const ballot = this.of(vote.index);
      ballot.votes.push(this.voteOf(vote));
      ballot.planned += 1;
    }
  }

  of(index: number): ShardBallot {
    let ballot = this.#ballots.get(index);
    if (ballot === undefined) {
      ballot = { votes: [], planned: this.#planned.get(index) ?? this.#firstVotes, learned: false };
      this.#ballots.set(index, ballot);
    }
    return ballot;
  }

  hasVoted(index: number, device: string): boolean {
    return this.#ballots.get(index)?.votes.some((vote) => vote.device === device) ?? false;
  }

  voteOf(vote: VoteRow): BallotVote {
    const { device, output } = vote;
    const member = this.#trust.memberOf(device);
    return { device, principal: member?.principal ?? device, core: member?.trusted ?? false, group: output.sha256, output };
  }

  /** Settled: what is known of it stands in the store, and is read again when the job is reviewed. */
  close(index: number): ShardRow | undefined {
    const shard = this.open.get(index);
    this.open.delete(index);
    return shard;
  }

  /** Once it is provisional. Its leases and signatures stay, to tell a late vote from a forged one. */
  forget(index: number): void {
    this.#ballots.delete(index);
    this.#planned.delete(index);
  }

  reopen(shard: ShardRow, ballot: ShardBallot): void {
    this.open.set(shard.index, shard);
    this.#ballots.set(shard.index, ballot);
  }

  entries(): Iterable<[number, ShardBallot]> {
    return this.#ballots;
  }
}
