import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import type { ProgramName } from './actors/bare.mjs';
import type { PeerName } from './actors/peers.ts';
import { type Benchmark, median, rounded, type Target } from './benchmark.ts';

const run = promisify(execFile);
const HERE = path.join(import.meta.dirname, 'actors');
const CELL_MS = 120_000;

const PROGRAMS: readonly ProgramName[] = ['pingPong', 'counting', 'forkJoin', 'ring', 'big', 'spawn'];
/** What part of the yardstick's work each of them does in about the same time. */
const PEERS: Readonly<Record<PeerName, number>> = { nact: 1 / 20, xstate: 1 / 8, effect: 1 / 20 };

/** Ours against the bare loop, and against one scheduler of OTP. */
const AGAINST_BARE: Readonly<Record<ProgramName, number>> = {
  pingPong: 0.8,
  counting: 0.8,
  forkJoin: 0.8,
  ring: 0.8,
  big: 0.8,
  spawn: 0.25,
};
const AGAINST_OTP: Readonly<Record<ProgramName, number>> = { pingPong: 2, counting: 1, forkJoin: 1, ring: 2, big: 2, spawn: 1 };
const TRACED = 0.5;

type Values = Record<string, number>;

/** Each cell is a fresh process that is timed by its main thread's CPU time, so that neighbours and garbage of other cells disturb little. */
export const actors: Benchmark = {
  about: 'messages, spawns, asks and memory of the kernel beside a bare loop, one OTP scheduler, nact, XState and Effect',
  async run({ quick, note }) {
    const figures: Values = {};
    const ratios: Values = {};
    const targets: Record<string, Target> = {};
    const absent: Record<string, string> = {};
    const scale = quick ? 0.5 : 2;
    const rounds = quick ? 1 : 5;
    const medianOf = async (column: string, program: string, of: number, times = rounds): Promise<number> => {
      const values: number[] = [];
      for (let round = 0; round < times; round++) values.push(await cell(column, program, of));
      return median(values);
    };

    for (const program of PROGRAMS) {
      const pairs: { bare: number; ours: number; traced: number }[] = [];
      for (let round = 0; round < rounds; round++) {
        const bare = await cell('bare', program, scale);
        const ours = await cell('ours', program, scale);
        pairs.push({ bare, ours, traced: await cell('traced', program, scale / 2) });
      }
      figures[`${program}BareMillionsPerS`] = rounded(median(pairs.map(({ bare }) => bare)));
      figures[`${program}MillionsPerS`] = rounded(median(pairs.map(({ ours }) => ours)));
      ratios[`${program}OfBare`] = rounded(median(pairs.map(({ bare, ours }) => ours / bare)));
      targets[`${program}OfBare`] = { atLeast: AGAINST_BARE[program] };
      if (program !== 'spawn') {
        ratios[`${program}TracedOfBare`] = rounded(median(pairs.map(({ bare, traced }) => traced / bare)));
        targets[`${program}TracedOfBare`] = { atLeast: TRACED };
      }
      note(`${program}: bare ${figures[`${program}BareMillionsPerS`]}, ours ${figures[`${program}MillionsPerS`]} M/s`);
    }

    const bareAsks = await medianOf('bare', 'ask', scale);
    const asks = await medianOf('ours', 'ask', scale);
    figures['askMillionsPerS'] = rounded(asks);
    ratios['askOfBarePromise'] = rounded(asks / bareAsks);
    // One of the two is enough: a machine may be slow.
    if (asks < 1.5) targets['askOfBarePromise'] = { atLeast: 0.5 };
    else targets['askMillionsPerS'] = { atLeast: 1.5 };
    figures['idleActorBytes'] = rounded(await medianOf('ours', 'idle', 1, 1));
    targets['idleActorBytes'] = { atMost: 400 };
    figures['millionActorsMiB'] = rounded(await medianOf('ours', 'million', 1, 1));
    targets['millionActorsMiB'] = { atMost: 600 };
    note(`ask ${figures['askMillionsPerS']} M/s, ${figures['idleActorBytes']} bytes per idle actor`);

    try {
      const otp = await beam(quick ? 50 : 200);
      for (const program of PROGRAMS) {
        const rate = otp[program] ?? 0;
        figures[`${program}OtpMillionsPerS`] = rounded(rate);
        ratios[`${program}OfOtp`] = rounded((figures[`${program}MillionsPerS`] ?? 0) / rate);
        targets[`${program}OfOtp`] = { atLeast: AGAINST_OTP[program] };
      }
      note('OTP done');
    } catch (error) {
      absent['OTP'] = error instanceof Error ? error.message.slice(0, 200) : String(error);
    }
    for (const [peer, part] of Object.entries(PEERS)) {
      try {
        for (const program of PROGRAMS) {
          figures[`${program}${peer[0]?.toUpperCase()}${peer.slice(1)}MillionsPerS`] = rounded(await cell(peer, program, scale * part));
        }
        note(`${peer} done`);
      } catch (error) {
        absent[peer] = error instanceof Error ? error.message.slice(0, 200) : String(error);
      }
    }
    return { figures, ratios, targets, absent };
  },
};

async function cell(column: string, program: string, scale: number): Promise<number> {
  const { stdout } = await run(process.execPath, ['--expose-gc', path.join(HERE, 'cell.ts'), column, program, String(scale)], {
    timeout: CELL_MS,
  });
  const value = Number(stdout.trim());
  if (!(value > 0)) throw new Error(`${column} ${program} printed '${stdout.trim()}'`);
  return value;
}

/** All programs on one scheduler that does not spin while it waits. */
async function beam(percent: number): Promise<Values> {
  const folder = await mkdtemp(path.join(tmpdir(), 'corpgrid-beam-'));
  try {
    await run('erlc', ['-o', folder, path.join(HERE, 'beam.erl')]);
    const rates: Values = {};
    for (const program of PROGRAMS) {
      const flags = ['+S', '1:1', '+sbwt', 'none', '+P', '5000000', '-noshell', '-s', 'beam', 'main', program, String(percent)];
      const { stdout } = await run('erl', flags, { cwd: folder, timeout: CELL_MS });
      rates[program] = Number(stdout.trim());
    }
    return rates;
  } finally {
    await rm(folder, { recursive: true });
  }
}
