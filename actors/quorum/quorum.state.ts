import type { ComparedVote } from '#actors/contract/comparator.ts';
import type { ObjectRef } from '#actors/contract/primitives.ts';

import { mostBelieved, type Opinion } from './belief.ts';

/**
 * When a shard is believed: by a fixed count of equal votes, or by belief in those who voted.
 *
 *   open ──vote──▶ open               nothing decided: more votes are on their way
 *   open ──vote──▶ open + another     one more attempt, by a device of a principal that has no vote here
 *   open ──vote──▶ open + core        one more attempt, by a trusted device: nobody else is left, or nine could not agree
 *   open ──vote──▶ settled            enough equal votes, enough belief, or a trusted device has spoken
 *   open ──vote──▶ unreachable        more votes are needed and there is nobody to give them
 *   settled ──▶ open                  an audit was drawn, or its voters lost their credit before the job was sealed
 *
 * A device counts once per shard; one in quarantine does not count. Ties break to the lowest digest, so every coordinator
 * decides alike. What is persisted is the votes, the shard's accepted output and the standings of devices; `planned` is
 * recomputed when the job is activated.
 */
export interface BallotVote {
  readonly device: string;
  readonly principal: string;
  /** By a trusted device. */
  readonly core: boolean;
  /** Equal results have equal groups: the digest, or that of the first result which the comparator finds equal. */
  group: string;
  readonly output: ObjectRef;
  /** What a comparator needs; absent where bytes decide. */
  readonly compared?: ComparedVote;
}

export interface ShardBallot {
  readonly votes: BallotVote[];
  /** Votes that came or are still expected: counted ones, leased attempts, and attempts still wanted. */
  planned: number;
  /** What the voters said about each other is on record: it must not be counted twice. */
  learned: boolean;
}

export type Rule = { readonly type: 'quorum'; readonly votes: number } | { readonly type: 'belief'; readonly maxError: number };

/** What a decision needs to know of the devices. */
export interface Fleet {
  /** How probably the device is right; null when its votes do not count. */
  credibility(device: string): number | null;
  /** Whether a device may still vote whose principal is not among these. */
  hasVoiceBesides(principals: ReadonlySet<string>): boolean;
  /** Whether a device may still vote that is not among these. */
  hasDeviceBesides(devices: ReadonlySet<string>): boolean;
  /** Whether there is a trusted device that has not voted. */
  hasCoreBesides(devices: ReadonlySet<string>): boolean;
}

export type Decision = 'none' | 'another' | 'core' | 'accept' | 'unreachable';

export interface Verdict {
  readonly decision: Decision;
  /** The result in the lead: of most votes, or most believed. Null while no vote counts. */
  readonly leading: Leading | null;
  /** How the lead came about. */
  readonly by: 'quorum' | 'belief' | 'core';
}

export interface Leading {
  readonly group: string;
  /** The output of the group: its founder's. */
  readonly output: ObjectRef;
  /** Null when votes were only counted. */
  readonly belief: number | null;
  readonly votes: number;
}

/** Executions of one shard after which only a trusted device can help. */
export const MOST_EXECUTIONS = 9;

/** Decides about the votes as they are. Does not change the ballot. */
export function judge(ballot: ShardBallot, rule: Rule, fleet: Fleet): Verdict {
  const byCore = judgeByCore(ballot, rule, fleet);
  if (byCore !== null) return byCore;
  return rule.type === 'quorum' ? judgeByCount(ballot, rule.votes) : judgeByBelief(ballot, rule.maxError, fleet);
}

/** A trusted device decides: always when belief does, and over a count when nobody else is there to vote. */
function judgeByCore(ballot: ShardBallot, rule: Rule, fleet: Fleet): Verdict | null {
  const core = ballot.votes.filter((vote) => vote.core);
  const [first] = core;
  if (first === undefined) return null;
  if (rule.type === 'quorum') {
    if (ballot.votes.length >= rule.votes || fleet.hasDeviceBesides(devicesOf(ballot))) return null;
    return core.every((v) => v.group === first.group) ? accepted(ballot.votes, first.group, null, 'core') : null;
  }
  const best = leadingByCount(core);
  if (best !== null && best.votes * 2 > core.length) return accepted(ballot.votes, best.group, 1, 'core');
  const leading = best === null ? null : leadingOf(core, best.group, null);
  return { decision: fleet.hasCoreBesides(devicesOf(ballot)) ? 'core' : 'unreachable', leading, by: 'core' };
}

function judgeByCount(ballot: ShardBallot, votes: number): Verdict {
  const best = leadingByCount(ballot.votes);
  const count = best?.votes ?? 0;
  if (best !== null && count >= votes) return accepted(ballot.votes, best.group, null, 'quorum');
  const needed = ballot.votes.length + (votes - count);
  const leading = best === null ? null : leadingOf(ballot.votes, best.group, null);
  return { decision: needed <= ballot.planned ? 'none' : 'another', leading, by: 'quorum' };
}

function judgeByBelief(ballot: ShardBallot, maxError: number, fleet: Fleet): Verdict {
  const opinions: Opinion[] = [];
  const live: BallotVote[] = [];
  for (const vote of ballot.votes) {
    const p = fleet.credibility(vote.device);
    if (p === null) continue;
    opinions.push({ group: vote.group, principal: vote.principal, p });
    live.push(vote);
  }
  const best = mostBelieved(opinions);
  if (best !== null && best.belief >= 1 - maxError) return accepted(live, best.group, best.belief, 'belief');
  const leading = best === null ? null : leadingOf(live, best.group, best.belief);
  return { decision: whoIsNext(ballot, fleet), leading, by: 'belief' };
}

function whoIsNext(ballot: ShardBallot, fleet: Fleet): Decision {
  if (ballot.planned > ballot.votes.length) return 'none';
  if (ballot.votes.length < MOST_EXECUTIONS && fleet.hasVoiceBesides(new Set(ballot.votes.map((vote) => vote.principal)))) return 'another';
  return fleet.hasCoreBesides(devicesOf(ballot)) ? 'core' : 'unreachable';
}

function devicesOf({ votes }: ShardBallot): ReadonlySet<string> {
  return new Set(votes.map((vote) => vote.device));
}

function accepted(votes: readonly BallotVote[], group: string, belief: number | null, by: Verdict['by']): Verdict {
  return { decision: 'accept', leading: leadingOf(votes, group, belief), by };
}

function leadingOf(votes: readonly BallotVote[], group: string, belief: number | null): Leading | null {
  let output: ObjectRef | null = null;
  let count = 0;
  for (const vote of votes) {
    if (vote.group !== group) continue;
    count += 1;
    // Of a group that a comparator made, the founder's output stands for all.
    if (output === null || vote.output.sha256 === group || (output.sha256 !== group && vote.output.sha256 < output.sha256))
      output = vote.output;
  }
  return output === null ? null : { group, output, belief, votes: count };
}

/** The group with most votes, lowest first among equals. */
export function leadingByCount(votes: readonly Pick<BallotVote, 'group'>[]): { group: string; votes: number } | null {
  let best: { group: string; votes: number } | null = null;
  const tally = new Map<string, number>();
  for (const { group } of votes) tally.set(group, (tally.get(group) ?? 0) + 1);
  for (const [group, count] of tally) {
    if (best === null || count > best.votes || (count === best.votes && group < best.group)) best = { group, votes: count };
  }
  return best;
}
