import { groupsOf, type Comparable, type Comparator } from '#actors/contract/comparator.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import type { AttemptRow, ShardRow, VoteRow } from '#actors/store/store.ts';

import { OpenShards, type OpenShard } from './open-shards.ts';
import type { BallotVote, ShardBallot } from './quorum.state.ts';
import type { AppTrust } from './trust-book.ts';
import type { KnownLease } from './vote-checks.ts';

/** What a job's rows say about its votes at the start of an activation. */
export interface Rows {
  /** Of each shard, its place in SHARD_STATES. */
  readonly states: Uint8Array;
  /** Open shards that want another number of attempts than a new one, or only a trusted device. */
  readonly touched: readonly ShardRow[];
  readonly attempts: readonly AttemptRow[];
  readonly votes: readonly VoteRow[];
}

/** How results are compared when their bytes do not decide, and what the votes on open shards say, by digest. */
export interface Comparing {
  readonly comparator: Comparator;
  readonly values: ReadonlyMap<string, Comparable | null>;
}

/** Leases of settled shards that are remembered, to tell a late vote from a forged one. */
const REMEMBERED = 20_000;

/** Votes and leases of a job's shards, as far as the QuorumActor has to remember them. */
export class Ballots {
  readonly leases: ReadonlyMap<string, KnownLease>;
  /** Signatures of the votes that count, by fence. */
  readonly cast = new Map<string, string>();
  readonly open: OpenShards;
  readonly #leases = new Map<string, KnownLease>();
  /** By shard, of those that are not settled. */
  readonly #fences = new Map<number, string[]>();
  /** Fences of settled shards, the oldest first. */
  readonly #settled = new Set<string>();
  readonly #ballots = new Map<number, ShardBallot>();
  readonly #planned = new Map<number, number>();
  readonly #trust: AppTrust;
  readonly #firstVotes: number;
  readonly #comparator: Comparator | null;

  /** `firstVotes`: attempts that a new shard wants. `values`: what the votes say, where a comparator decides. */
  constructor({ states, touched, attempts, votes }: Rows, trust: AppTrust, firstVotes: number, comparing: Comparing | null = null) {
    this.#trust = trust;
    this.#firstVotes = firstVotes;
    this.#comparator = comparing?.comparator ?? null;
    this.leases = this.#leases;
    this.open = new OpenShards(states, touched);
    for (const { index, wanted } of touched) if (wanted !== firstVotes) this.#planned.set(index, wanted);
    for (const attempt of attempts) {
      this.leased(attempt);
      if (attempt.state === 'leased') this.#planned.set(attempt.index, (this.#planned.get(attempt.index) ?? firstVotes) + 1);
    }
    for (const vote of votes) {
      this.leased(vote);
      this.cast.set(fenceText(vote.fence), vote.signature);
      const ballot = this.of(vote.index);
      this.add(ballot, vote, comparing?.values.get(vote.output.sha256) ?? null);
      ballot.planned += 1;
    }
  }

  leased(lease: KnownLease): void {
    const fence = fenceText(lease.fence);
    if (this.#leases.has(fence)) return;
    this.#leases.set(fence, lease);
    // Settled while it was being leased.
    if (!this.open.has(lease.index)) return void this.#settled.add(fence);
    this.open.leased(lease.index, lease.shardId);
    const fences = this.#fences.get(lease.index);
    if (fences === undefined) this.#fences.set(lease.index, [fence]);
    else fences.push(fence);
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

  /** Takes a vote in; with a comparator all votes of the shard are grouped anew. */
  add(ballot: ShardBallot, vote: VoteRow, value: Comparable | null): void {
    ballot.votes.push(this.#voteOf(vote, value));
    this.#regroup(ballot);
  }

  /** Takes the vote of a device out again. */
  drop(ballot: ShardBallot, device: string): void {
    const at = ballot.votes.findIndex((vote) => vote.device === device);
    if (at >= 0) ballot.votes.splice(at, 1);
    this.#regroup(ballot);
  }

  /** These votes as a ballot of their own. */
  ballotOf(votes: readonly VoteRow[], values: ReadonlyMap<string, Comparable | null> | null): ShardBallot {
    const cast = votes.map((vote) => this.#voteOf(vote, values?.get(vote.output.sha256) ?? null));
    const ballot = { votes: cast, planned: cast.length, learned: cast.length > 1 };
    this.#regroup(ballot);
    return ballot;
  }

  #regroup({ votes }: ShardBallot): void {
    if (this.#comparator === null) return;
    const groups = groupsOf(
      this.#comparator,
      votes.flatMap(({ compared }) => compared ?? []),
    );
    for (const [n, vote] of votes.entries()) vote.group = groups[n] ?? vote.group;
  }

  #voteOf({ device, output, fence }: VoteRow, value: Comparable | null): BallotVote {
    const member = this.#trust.memberOf(device);
    const compared = this.#comparator === null ? {} : { compared: { fence, sha256: output.sha256, value } };
    return { device, principal: member?.principal ?? device, core: member?.trusted ?? false, group: output.sha256, output, ...compared };
  }

  /** Settled: what is known of it stands in the store, and is read again when the job is reviewed. */
  close(index: number): OpenShard | undefined {
    return this.open.close(index);
  }

  /** Once it is provisional. Its leases and signatures stay for a while. */
  forget(index: number): void {
    this.#ballots.delete(index);
    this.#planned.delete(index);
    for (const fence of this.#fences.get(index) ?? []) this.#settled.add(fence);
    this.#fences.delete(index);
    for (const fence of this.#settled) {
      if (this.#settled.size <= REMEMBERED) break;
      this.#settled.delete(fence);
      this.#leases.delete(fence);
      this.cast.delete(fence);
    }
  }

  reopen(shard: OpenShard, ballot: ShardBallot): void {
    this.open.open(shard);
    this.#ballots.set(shard.index, ballot);
  }

  entries(): Iterable<[number, ShardBallot]> {
    return this.#ballots;
  }
}
