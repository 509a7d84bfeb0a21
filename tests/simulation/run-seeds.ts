import { Worker } from 'node:worker_threads';

import type { Mutation } from './mutation.ts';

/** One play of a seed. */
export interface Played {
  readonly world: string;
  readonly seed: number;
  readonly hash: string;
  /** Promises that it broke. Empty is good. */
  readonly violations: readonly string[];
  /** The last happenings, when they were asked for. */
  readonly recent: readonly string[];
}

/** What many plays came to. */
export interface Tally {
  plays: number;
  steps: number;
  virtualMs: number;
  /** Those that broke a promise; all of them when their happenings were asked for. */
  readonly told: Played[];
}

export interface SeedsOptions {
  readonly worlds: readonly string[];
  readonly from: number;
  /** Included. */
  readonly to: number;
  readonly threads: number;
  /** How many of the last happenings each play remembers in words. */
  readonly keep?: number;
  /** The source is changed like this before it is loaded. */
  readonly mutation?: Mutation;
  /** Ends all when one play has failed. */
  readonly stopAtFailure?: boolean;
  readonly onPlays?: (tally: Tally) => void;
  readonly onTold?: (played: Played) => void;
}

/** What a thread is told. */
export interface Task {
  readonly worlds: readonly string[];
  readonly from: number;
  readonly to: number;
  readonly keep: number;
}

/** Seeds per task: enough that the way there and back costs nothing, few enough that no thread ends long after the others. */
const TASK = 10;

/** Plays every seed in every world, on several threads. Which thread plays what changes nothing in any of them. */
export async function runSeeds(options: SeedsOptions): Promise<Tally> {
  const { worlds, from, to, keep = 0, onPlays, onTold } = options;
  const tally: Tally = { plays: 0, steps: 0, virtualMs: 0, told: [] };
  let next = from;
  let over = false;

  function take(): Task | null {
    if (over || next > to) return null;
    const task: Task = { worlds, from: next, to: Math.min(next + TASK - 1, to), keep };
    next = task.to + 1;
    return task;
  }

  function add(part: Tally): void {
    tally.plays += part.plays;
    tally.steps += part.steps;
    tally.virtualMs += part.virtualMs;
    for (const played of part.told) {
      tally.told.push(played);
      onTold?.(played);
      if (options.stopAtFailure === true && played.violations.length > 0) over = true;
    }
    onPlays?.(tally);
  }

  async function work(): Promise<void> {
    const worker = new Worker(new URL('../../scripts/simulate-thread.ts', import.meta.url), {
      workerData: options.mutation ?? null,
    });
    try {
      await new Promise<void>((resolve, reject) => {
        const go = (): void => {
          const task = take();
          if (task === null) resolve();
          else worker.postMessage(task);
        };
        worker.on('message', (part: Tally) => {
          add(part);
          go();
        });
        worker.on('error', reject);
        worker.on('exit', () => reject(new Error('a thread ended before its work')));
        go();
      });
    } finally {
      await worker.terminate();
    }
  }

  await Promise.all(Array.from({ length: options.threads }, work));
  tally.told.sort((a, b) => a.seed - b.seed || (a.world < b.world ? -1 : 1));
  return tally;
}
