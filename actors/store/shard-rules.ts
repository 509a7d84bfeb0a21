import type { AttemptState, ShardState } from '#actors/contract/job-states.ts';
import type { Fence, ObjectRef } from '#actors/contract/primitives.ts';
import { partitionOf } from './partition.ts';
import { storableText } from './storable-text.ts';
import { learn, type StandingUnderChange } from './standing-rules.ts';
import type { Change, Decided, Lessons, Outcome, StandingRow, VoteRow } from './store.ts';

/**
 * What a change does to a shard and its attempts. Both stores run these lines, PostgreSQL with the shards' rows locked.
 *
 * A shard is `pending` (or `blocked`, the merge shard until the map is done) and wants as many attempts as its quorum.
 * A claim lowers `wanted` by what it leases and makes it `leased`; the first vote makes it `voting`, an accepting one
 * `provisional`, sealing the job `sealed`. It is `failed` when it failed too often and its job failed with it. It never
 * goes back, but for one way: a provisional shard of a job that goes by belief is taken back to `voting` for a check by a
 * trusted device, or because its voters are worth less than when it was accepted. While it is open (pending, leased,
 * voting) this holds: wanted + leased attempts + votes that count >= quorum.
 *
 * An attempt is `leased`, then `voted`, `refused`, `failed` or `released`. A lost session makes it `suspect`: from then on
 * its shard wants one more, and it wants that only once, whatever the attempt becomes. `expired` has waited long enough,
 * but may still vote. A vote of a suspect or expired attempt counts; the attempt that was wanted in its place stays
 * wanted, unless the vote accepts the shard. A refused vote uses its attempt up; its shard wants another one.
 */

/** A shard while changes are applied to it. */
export interface ShardUnderChange {
  readonly id: number;
  readonly job: string;
  readonly index: number;
  state: ShardState;
  wanted: number;
  failures: number;
  output: ObjectRef | null;
  coreOnly: boolean;
  decided?: Decided | undefined;
  retryAt?: number | undefined;
}

/** An attempt while changes are applied to it. */
export interface AttemptUnderChange {
  readonly fence: Fence;
  readonly shardId: number;
  readonly device: string;
  state: AttemptState;
  endedAt: number | null;
  reason: string | null;
}

/** Everything that a batch of changes may read or write. The store that made it keeps what was touched. */
export interface Scene {
  shard(id: number): ShardUnderChange | undefined;
  attempt(fence: Fence): AttemptUnderChange | undefined;
  /** Devices whose votes count for the shard. */
  voters(shardId: number): ReadonlySet<string>;
  touch(shard: ShardUnderChange, attempt: AttemptUnderChange | null): void;
  /** How the device stands with the app, to be changed in place and kept; a new standing when there is none. */
  standing(device: string, app: string, at: number): StandingUnderChange;
  /** Notes that a trusted device shall check the shard, or what it found. */
  audit(shard: ShardUnderChange, change: { opened: 'audit' | 'dispute'; at: number } | { wrong: readonly string[] }): void;
  /** Keeps a vote; a refusal that is there already (same fence, signature and time) is kept once. */
  record(vote: VoteRow): void;
}

/** States in which a shard takes votes and may want attempts. */
export const OPEN_SHARD_STATES: readonly ShardState[] = ['pending', 'leased', 'voting'];
/** States in which an attempt may still vote. */
export const VOTING_ATTEMPT_STATES: readonly AttemptState[] = ['leased', 'suspect', 'expired'];
/** Attempts that bar their device from another lease of the same shard: live ones, and those that brought a vote. */
export const BARRING_ATTEMPT_STATES: readonly AttemptState[] = ['leased', 'suspect', 'voted', 'refused'];

const UNKNOWN: Outcome = { applied: false, shardState: null, failures: 0 };

/** Applies one change, all of it or nothing. */
export function applyChange(scene: Scene, change: Change): Outcome {
  switch (change.type) {
    case 'vote':
      return applyVote(scene, change);
    case 'refuse':
      return applyRefusal(scene, change);
    case 'end':
      return applyEnd(scene, change);
    case 'reopen':
      return applyReopening(scene, change);
  }
}

type VoteChange = Extract<Change, { type: 'vote' }>;
type RefuseChange = Extract<Change, { type: 'refuse' }>;
type EndChange = Extract<Change, { type: 'end' }>;
type ReopenChange = Extract<Change, { type: 'reopen' }>;

function applyVote(scene: Scene, change: VoteChange): Outcome {
  const { vote, decision } = change;
  const found = find(scene, change.partition, vote.fence);
  if (!found || !belongs(found, vote)) return UNKNOWN;
  const { shard, attempt } = found;
  if (attempt.state === 'voted') return outcome(true, shard);
  const voters = scene.voters(shard.id);
  if (!mayVote(attempt) || !isOpen(shard) || voters.has(attempt.device)) return outcome(false, shard);
  if (voters.size < (change.restsOn ?? 0)) return { ...outcome(false, shard), forgotten: true };

  close(attempt, 'voted', null, vote.at);
  if (decision === 'accept') {
    shard.state = 'provisional';
    shard.wanted = 0;
    shard.output = change.accepted ?? vote.output;
    if (shard.coreOnly) scene.audit(shard, { wrong: change.lessons?.learned.flatMap((l) => (isBad(l) ? [l.device] : [])) ?? [] });
    shard.coreOnly = false;
  } else {
    shard.state = 'voting';
    if (decision === 'another' || decision === 'core') shard.wanted += 1;
    if (decision === 'core' && !shard.coreOnly) {
      shard.coreOnly = true;
      scene.audit(shard, { opened: 'dispute', at: vote.at });
    }
  }
  scene.touch(shard, attempt);
  scene.record({ ...vote, index: shard.index, refusal: null });
  if (change.lessons === undefined) return outcome(true, shard);
  return { ...outcome(true, shard), standings: teach(scene, change.lessons, vote.at) };
}

function isBad(lesson: Lessons['learned'][number]): boolean {
  return lesson.kind === 'strike' || lesson.kind === 'quarantine';
}

/** Answers copies: the scene's own rows go on changing. */
function teach(scene: Scene, { app, learned }: Lessons, at: number): readonly StandingRow[] {
  const touched = new Map<string, StandingUnderChange>();
  for (const lesson of learned) {
    const standing = touched.get(lesson.device) ?? scene.standing(lesson.device, app, at);
    learn(standing, lesson, at);
    touched.set(lesson.device, standing);
  }
  return Array.from(touched.values(), (standing) => ({ ...standing }));
}

/** What was accepted is taken back, unless its job is sealed; what is voted on may be sent to a trusted device. */
function applyReopening(scene: Scene, { partition, job, shardId, core, at }: ReopenChange): Outcome {
  const shard = scene.shard(shardId);
  if (shard === undefined || shard.job !== job || partitionOf(job) !== partition) return UNKNOWN;
  if (shard.state !== 'provisional' && shard.state !== 'voting') return outcome(false, shard);
  shard.state = 'voting';
  shard.output = null;
  shard.wanted = Math.max(shard.wanted, 1);
  shard.coreOnly = core !== null;
  if (core !== null) scene.audit(shard, { opened: core, at });
  scene.touch(shard, null);
  return outcome(true, shard);
}

function applyRefusal(scene: Scene, change: RefuseChange): Outcome {
  const vote = { ...change.vote, refusal: storableText(change.vote.refusal ?? 'refused') };
  scene.record(vote);
  const found = find(scene, change.partition, vote.fence);
  if (!found) return { ...UNKNOWN, applied: true };
  const { shard, attempt } = found;
  // Anybody can send any fence: only the attempt's own device ends it.
  if (belongs(found, vote) && mayVote(attempt)) {
    if (attempt.state === 'leased' && isOpen(shard)) shard.wanted += 1;
    close(attempt, 'refused', vote.refusal, vote.at);
    scene.touch(shard, attempt);
  }
  return outcome(true, shard);
}

function applyEnd(scene: Scene, change: EndChange): Outcome {
  const found = find(scene, change.partition, change.fence);
  if (!found) return UNKNOWN;
  const { shard, attempt } = found;
  const live = attempt.state === 'leased' || attempt.state === 'suspect';
  if (!live || attempt.state === change.state) return outcome(false, shard);

  if (isOpen(shard)) {
    if (attempt.state === 'leased') shard.wanted += 1;
    if (change.state === 'failed') {
      shard.failures += 1;
      if (change.pause !== undefined) shard.retryAt = change.at + pauseAfter(shard.failures, change.pause);
    }
  }
  close(attempt, change.state, storableText(change.reason), change.state === 'suspect' ? null : change.at);
  scene.touch(shard, attempt);
  return outcome(true, shard);
}

function pauseAfter(failures: number, { firstMs, mostMs }: { readonly firstMs: number; readonly mostMs: number }): number {
  return Math.round(Math.min(mostMs, firstMs * 2 ** (failures - 1)));
}

interface Found {
  readonly shard: ShardUnderChange;
  readonly attempt: AttemptUnderChange;
}

/** The attempt of this fence and its shard; a shard of another partition is not the writer's to change. */
function find(scene: Scene, partition: number, fence: Fence): Found | undefined {
  const attempt = scene.attempt(fence);
  const shard = attempt && scene.shard(attempt.shardId);
  return shard && partitionOf(shard.job) === partition ? { shard, attempt } : undefined;
}

function belongs({ shard, attempt }: Found, vote: VoteRow): boolean {
  return attempt.device === vote.device && shard.id === vote.shardId && shard.job === vote.job;
}

function close(attempt: AttemptUnderChange, state: AttemptState, reason: string | null, endedAt: number | null): void {
  attempt.state = state;
  attempt.reason = reason;
  attempt.endedAt = endedAt;
}

function isOpen(shard: ShardUnderChange): boolean {
  return OPEN_SHARD_STATES.includes(shard.state);
}

function mayVote(attempt: AttemptUnderChange): boolean {
  return VOTING_ATTEMPT_STATES.includes(attempt.state);
}

function outcome(applied: boolean, shard: ShardUnderChange): Outcome {
  return { applied, shardState: shard.state, failures: shard.failures };
}
