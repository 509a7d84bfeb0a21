import type { ShardRow, VoteRow } from '#actors/store/store.ts';

import type { Standing } from './quorum.protocol.ts';
import { judge, type Decision, type Fleet, type Rule, type ShardBallot } from './quorum.state.ts';

/** What a provisional shard is worth now. */
export interface Review {
  readonly shard: ShardRow;
  readonly ballot: ShardBallot;
  /** `accept`: it still stands. Otherwise who has to vote on it. */
  readonly decision: Exclude<Decision, 'none'>;
  readonly belief: number | null;
  readonly by: 'quorum' | 'belief' | 'core';
}

/**
 * Judges provisional shards again, with what is known of their voters today. Nothing that was accepted earlier speaks for a
 * result, only the votes do. `lastWord`: shards that do not stand go to a trusted device at once.
 */
export function review(
  shards: readonly ShardRow[],
  ballotOf: (index: number) => ShardBallot,
  { rule, fleet, lastWord }: { rule: Rule; fleet: Fleet; lastWord: boolean },
): Review[] {
  return shards.flatMap((shard): Review[] => {
    if (shard.state !== 'provisional') return [];
    const ballot = ballotOf(shard.index);
    const { decision, leading, by } = judge(ballot, rule, fleet);
    const belief = leading?.belief ?? null;
    if (decision === 'accept' && leading?.output.sha256 === shard.output?.sha256) return [{ shard, ballot, decision, belief, by }];
    const devices = new Set(ballot.votes.map((vote) => vote.device));
    // The credit has moved to another result, or is gone: one more vote tells, and the last one is a trusted device's.
    const needsCore = lastWord && fleet.hasCoreBesides(devices);
    const next = needsCore ? 'core' : decision === 'accept' || decision === 'none' ? 'another' : decision;
    return [{ shard, ballot, decision: next, belief, by }];
  });
}

/** Counting votes by shard. */
export function votesByShard(votes: readonly VoteRow[]): ReadonlyMap<number, VoteRow[]> {
  const byIndex = new Map<number, VoteRow[]>();
  for (const vote of votes) {
    if (vote.refusal !== null) continue;
    const list = byIndex.get(vote.index);
    if (list === undefined) byIndex.set(vote.index, [vote]);
    else list.push(vote);
  }
  return byIndex;
}

/** Votes that differ in their bytes: only then has a comparator anything to say. */
export function isContested([first, ...others]: readonly VoteRow[]): boolean {
  return others.some((vote) => vote.output.sha256 !== first?.output.sha256);
}

/** How shards were decided by counting: by enough equal votes, or else by a trusted device that was alone. */
export function countedVotes(
  shards: readonly ShardRow[],
  ballotOf: (index: number) => ShardBallot,
  quorum: number,
): ReadonlyMap<number, Standing> {
  return new Map(
    shards.map(({ index, output }) => {
      const agreeing = ballotOf(index).votes.filter((vote) => vote.group === output?.sha256).length;
      return [index, { by: agreeing >= quorum ? 'quorum' : 'core', belief: null }];
    }),
  );
}
