import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

import { type Benchmark, median, rounded, type Target } from './benchmark.ts';
import type { FairnessColumn, Lateness } from './fairness-cell.ts';

const run = promisify(execFile);
const CELL = path.join(import.meta.dirname, 'fairness-cell.ts');
/** The dispatcher's slice. */
const SLICE_MS = 2;
/** The latest of all; collections of garbage are among them. */
const STARVED_MS = 50;
const LOADS: readonly FairnessColumn[] = ['cheap', 'costly', 'crowd'];

/**
 * How late timers and sockets are while actors flood each other with messages. Beside it the same probes in a thread that has nothing
 * to do, and in a loop of actors that never gives way: there they must starve, or the probes measure nothing.
 */
export const fairness: Benchmark = {
  about: 'how late timers and sockets are under a flood of messages',
  async run({ quick, note }) {
    const figures: Record<string, number> = {};
    const targets: Record<string, Target> = {};
    const absent: Record<string, string> = {};
    const rounds = quick ? 1 : 5;
    const ms = quick ? 3_000 : 5_000;

    const measured = async (column: FairnessColumn): Promise<Lateness> => {
      const all: Lateness[] = [];
      for (let round = 0; round < rounds; round++) all.push(await cell(column, ms));
      const of = (pick: (one: Lateness) => number): number => rounded(median(all.map(pick)));
      return {
        timers: of((one) => one.timers),
        timerP50Ms: of((one) => one.timerP50Ms),
        timerP99Ms: of((one) => one.timerP99Ms),
        timerWorstMs: of((one) => one.timerWorstMs),
        reads: of((one) => one.reads),
        readP50Ms: of((one) => one.readP50Ms),
        readP99Ms: of((one) => one.readP99Ms),
        readWorstMs: of((one) => one.readWorstMs),
        millionsPerS: of((one) => one.millionsPerS),
      };
    };

    const quiet = await measured('quiet');
    figures['quietTimerP99Ms'] = quiet.timerP99Ms;
    figures['quietSocketP99Ms'] = quiet.readP99Ms;
    for (const load of LOADS) {
      const late = await measured(load);
      figures[`${load}MillionsPerS`] = late.millionsPerS;
      figures[`${load}TimerP50Ms`] = late.timerP50Ms;
      figures[`${load}TimerP99Ms`] = late.timerP99Ms;
      figures[`${load}SocketP50Ms`] = late.readP50Ms;
      figures[`${load}SocketP99Ms`] = late.readP99Ms;
      targets[`${load}TimerP99Ms`] = { atMost: 2 * SLICE_MS };
      targets[`${load}SocketP99Ms`] = { atMost: 2 * SLICE_MS };
      figures[`${load}TimerWorstMs`] = late.timerWorstMs;
      figures[`${load}SocketWorstMs`] = late.readWorstMs;
      targets[`${load}TimerWorstMs`] = { atMost: STARVED_MS };
      targets[`${load}SocketWorstMs`] = { atMost: STARVED_MS };
      note(`${load}: timers ${late.timerP99Ms} ms, sockets ${late.readP99Ms} ms late at p99, ${late.millionsPerS} M messages/s`);
    }
    // It cannot end by itself: nothing of it but messages runs.
    if (await starves()) note('a loop that never gives way starves both');
    else absent['starving loop'] = 'the probes ran in a loop that never gives way';
    return { figures, ratios: {}, targets, absent };
  },
};

async function cell(column: FairnessColumn, ms: number): Promise<Lateness> {
  const { stdout } = await run(process.execPath, [CELL, column, String(ms)], { timeout: ms + 30_000 });
  return JSON.parse(stdout) as Lateness;
}

async function starves(): Promise<boolean> {
  try {
    await run(process.execPath, [CELL, 'starved', '500'], { timeout: 5_000, killSignal: 'SIGKILL' });
    return false;
  } catch (error) {
    return error instanceof Error && 'killed' in error && error.killed === true;
  }
}
