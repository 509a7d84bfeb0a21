import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

import { runSeeds, type Played, type Tally } from '#tests/simulation/run-seeds.ts';
import { WORLDS } from '#tests/simulation/worlds/worlds.ts';

/**
 * `npm run simulate -- --seeds 1..20000 [--world grid|link|cluster] [--threads N] [--trace N] [--json]`
 *
 * Plays every seed of the range in every world (or in the one that is named). Ends with exit 1 when a promise was broken; what
 * was broken, the hash of what happened, and the command that plays it again are printed as soon as it is known.
 */

const PROGRESS_MS = 5_000;
/** Happenings that are told of a play that is looked at closely. */
const TRACE = 200;
const USAGE = `npm run simulate -- --seeds A..B [--world ${Object.keys(WORLDS).join('|')}] [--threads N] [--trace N] [--json]`;

interface Wish {
  readonly from: number;
  readonly to: number;
  readonly worlds: readonly string[];
  readonly threads: number;
  readonly keep: number;
  readonly json: boolean;
}

function readWish(args: readonly string[]): Wish {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string', default: '1..100' },
      world: { type: 'string' },
      threads: { type: 'string' },
      trace: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  const range = /^(\d+)(?:\.\.(\d+))?$/.exec(values.seeds);
  const from = Number(range?.[1]);
  const to = Number(range?.[2] ?? range?.[1]);
  if (!(from <= to)) throw new Error(`--seeds ${values.seeds} is no range A..B`);
  if (values.world !== undefined && WORLDS[values.world] === undefined) throw new Error(`there is no world '${values.world}'`);
  return {
    from,
    to,
    worlds: values.world === undefined ? Object.keys(WORLDS) : [values.world],
    threads: wholeNumber('threads', values.threads) ?? availableParallelism(),
    keep: wholeNumber('trace', values.trace) ?? 0,
    json: values.json,
  };
}

function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error(`--${name} ${text} is no number of one or more`);
  return Number(text);
}

function tell({ world, seed, hash, violations, recent }: Played): void {
  const lines = violations.map((violation) => `  ${violation}`);
  process.stdout.write(`${violations.length > 0 ? 'BROKEN' : 'kept'}: ${world}, seed ${seed}, hash ${hash}\n`);
  for (const line of [...recent, ...lines]) process.stdout.write(`${line}\n`);
  if (violations.length > 0) process.stdout.write(`  again: npm run simulate -- --world ${world} --seeds ${seed} --trace ${TRACE}\n`);
}

async function main({ from, to, worlds, threads, keep, json }: Wish): Promise<void> {
  const started = performance.now();
  const plays = (to - from + 1) * worlds.length;
  let toldAt = started;
  const onPlays = (tally: Tally): void => {
    const now = performance.now();
    if (json || now - toldAt < PROGRESS_MS) return;
    toldAt = now;
    process.stdout.write(`${tally.plays} of ${plays} plays, ${((now - started) / 1_000).toFixed(0)} s\n`);
  };
  const tally = await runSeeds({ worlds, from, to, threads, keep, onPlays, ...(json ? {} : { onTold: tell }) });
  const seconds = (performance.now() - started) / 1_000;
  const broken = tally.told.filter(({ violations }) => violations.length > 0);
  if (json) {
    const { steps, virtualMs, told } = tally;
    process.stdout.write(`${JSON.stringify({ worlds, from, to, plays, steps, virtualHours: virtualMs / 3_600_000, seconds, told })}\n`);
  } else {
    process.stdout.write(
      `${plays} plays (seeds ${from}..${to} in ${worlds.join(', ')}): ${broken.length} broken; ` +
        `${(tally.virtualMs / 3_600_000).toFixed(1)} simulated hours in ${seconds.toFixed(1)} s, ${(plays / seconds).toFixed(0)} plays/s\n`,
    );
  }
  if (broken.length > 0) process.exitCode = 1;
}

try {
  await main(readWish(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}\n`);
  process.exitCode = 1;
}
