import { mapShardCount, shardCount, type JobSpec } from '#actors/contract/job-spec.ts';
import { SHARD_STATES, type JobState, type ShardState } from '#actors/contract/job-states.ts';

/**
 * A job.
 *
 *   queued ──first activation, when the jobs that it needs are done──▶ running
 *   queued ──a job that it needs failed or was cancelled──▶ failed
 *   queued, running, paused ──its deadline passed──▶ failed
 *   running ⇄ paused               by people; paused jobs are not claimed from, attempts under way may still vote
 *   running ──all shards provisional──▶ sealing ──manifest signed──▶ done
 *   running ──a shard failed too often──▶ failed
 *   queued, running, paused ──by people──▶ cancelled
 *
 * Persisted: the state, each shard's state and accepted output. Everything here is recomputed from them on activation.
 */
export const CONTROLS = {
  pause: { from: ['queued', 'running'], to: 'paused' },
  resume: { from: ['paused'], to: 'running' },
  cancel: { from: ['queued', 'running', 'paused'], to: 'cancelled' },
} as const satisfies Record<string, { from: readonly JobState[]; to: JobState }>;

export type Control = keyof typeof CONTROLS;

export function isFinal(state: JobState): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled';
}

const CODE = new Map<ShardState, number>(SHARD_STATES.map((name, code) => [name, code]));

function codeOf(state: ShardState): number {
  const code = CODE.get(state);
  if (code === undefined) throw new Error(`unknown shard state ${state}`);
  return code;
}

/** States of all shards of one job, one byte each, with their tally kept up to date. */
export class ShardTable {
  readonly states: Uint8Array;
  readonly #counts: number[];
  #changes = new Map<number, number>();

  /** `states`: of each shard, its place in SHARD_STATES. */
  constructor(states: Uint8Array) {
    this.states = states;
    this.#counts = SHARD_STATES.map(() => 0);
    for (const code of states) this.#counts[code] = (this.#counts[code] ?? 0) + 1;
  }

  get(index: number): ShardState {
    return SHARD_STATES[this.states[index] ?? 0] ?? 'pending';
  }

  set(index: number, state: ShardState): void {
    const before = this.states[index];
    const code = codeOf(state);
    if (before === undefined || before === code) return;
    this.states[index] = code;
    this.#counts[before] = (this.#counts[before] ?? 1) - 1;
    this.#counts[code] = (this.#counts[code] ?? 0) + 1;
    this.#changes.set(index, code);
  }

  setAll(from: ShardState, to: ShardState): void {
    const code = codeOf(from);
    for (let i = 0; i < this.states.length; i++) if (this.states[i] === code) this.set(i, to);
  }

  count(state: ShardState): number {
    return this.#counts[codeOf(state)] ?? 0;
  }

  counts(): Record<ShardState, number> {
    return Object.fromEntries(SHARD_STATES.map((name, code) => [name, this.#counts[code] ?? 0])) as Record<ShardState, number>;
  }

  /** Changes since the last call, for the live feed. */
  takeChanges(): [number, number][] {
    const changes = [...this.#changes];
    this.#changes = new Map();
    return changes;
  }
}

/** What the job's owner has to do now. */
export function nextStep(spec: JobSpec, state: JobState, table: ShardTable): 'none' | 'unblockMerge' | 'seal' {
  if (state === 'sealing') return 'seal';
  if (state !== 'running') return 'none';
  const settled = table.count('provisional') + table.count('sealed');
  if (settled === shardCount(spec)) return 'seal';
  if (spec.merge && table.get(mapShardCount(spec)) === 'blocked' && settled === mapShardCount(spec)) return 'unblockMerge';
  return 'none';
}

/** A shard that is leased has a vote: it waits for its quorum. */
export function afterVote(state: ShardState): ShardState {
  return state === 'pending' || state === 'leased' ? 'voting' : state;
}
