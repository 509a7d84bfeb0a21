import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { JobSpec } from '#actors/contract/job-spec.ts';
import type { JobSummary } from '#actors/contract/live.ts';
import { MAX_SHARDS, type ObjectRef } from '#actors/contract/primitives.ts';
import { runningUrl } from '#runtime/database/embedded/running-url.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';

import { type Benchmark, rounded } from './benchmark.ts';
import { uploadWordCount } from './examples.ts';
import { startInstantAgent, type InstantAgent } from './instant-agent.ts';

const DEVICES = 2;
const SLOTS = 64;
const WARM_UP_SHARDS = 4_000;
const POLL_MS = 50;
const LIMIT_MS = 120_000;
const KIB = 1024;

/**
 * One million shards as one array: submitted, begun, carried on by a new coordinator, cancelled. What the coordinator keeps of
 * a job must not grow with its shards; a small job is run before, so that what is measured is the million and not the start.
 */
export const array: Benchmark = {
  about: 'a million shards as one array: submit, run some, restart, cancel; memory of the coordinator',
  async run({ quick, note }) {
    const figures: Record<string, number> = { shards: MAX_SHARDS };
    const absent: Record<string, string> = {};
    const grid = await startGrid();
    const agents: InstantAgent[] = [];
    try {
      const { token } = (await grid.client.post('/api/tokens', { name: 'bench', uses: DEVICES })) as { token: string };
      for (let n = 0; n < DEVICES; n++) agents.push(await startInstantAgent({ url: grid.url, token, name: `bench-${n}`, slots: SLOTS }));
      const module = await uploadWordCount(grid.client);
      note('warming up with a small job');
      const warm = await submit(grid, module, WARM_UP_SHARDS);
      await until(grid, warm, ({ state }) => state === 'done');

      note('inserting as many rows into a bare table of the same server');
      const bare = await bareInsert(grid).catch((error: unknown) => {
        absent['bare insert'] = error instanceof Error ? error.message : String(error);
        return null;
      });
      if (bare !== null) figures['bareInsertSeconds'] = rounded(bare);

      const before = await memoryOf(grid);
      const watch = watchOf(grid);
      note(`submitting ${MAX_SHARDS} shards`);
      const started = performance.now();
      const id = await submit(grid, module, MAX_SHARDS);
      figures['submitSeconds'] = secondsSince(started);
      await until(grid, id, ({ state, counts }) => state === 'running' && counts.provisional > 0);
      figures['firstResultSeconds'] = secondsSince(started);
      const wanted = quick ? 5_000 : 50_000;
      note(`running ${wanted} of them`);
      await until(grid, id, ({ counts }) => counts.provisional >= wanted);
      const seen = watch.stop();
      figures['memoryBeforeMiB'] = rounded(before);
      figures['memoryPeakMiB'] = rounded(seen.peakMiB);
      figures['memoryGrowthMiB'] = rounded(seen.peakMiB - before);
      figures['longestPauseMs'] = rounded(seen.longestPauseMs);

      note('starting the coordinator again');
      await grid.coordinator.stop();
      const again = performance.now();
      await grid.restartCoordinator();
      const held = (await until(grid, id, ({ state, counts }) => state === 'running' && counts.provisional >= wanted)).counts.provisional;
      await until(grid, id, ({ counts }) => counts.provisional > held);
      figures['goesOnAfterRestartSeconds'] = secondsSince(again);

      note('cancelling it');
      const cancelled = performance.now();
      await grid.client.post(`/api/jobs/${id}/cancel`, {});
      figures['cancelSeconds'] = secondsSince(cancelled);
    } finally {
      for (const agent of agents) await agent.close();
      await grid.end();
    }
    const ratios = figures['bareInsertSeconds'] === undefined ? {} : { 'submit/bareInsert': rounded(ratioOf(figures)) };
    return { figures, ratios, targets: { submitSeconds: { atMost: 30 }, memoryGrowthMiB: { atMost: 64 } }, absent };
  },
};

function ratioOf(figures: Record<string, number>): number {
  return (figures['submitSeconds'] ?? Number.NaN) / (figures['bareInsertSeconds'] ?? Number.NaN);
}

async function submit(grid: Grid, module: ObjectRef, count: number): Promise<string> {
  const id = randomUUID();
  const spec = JobSpec.parse({
    version: 1,
    name: `array of ${count}`,
    kind: 'wasm',
    module,
    args: ['{shard}'],
    shards: { count },
    quorum: 1,
  });
  await grid.client.post('/api/jobs', { id, spec });
  return id;
}

async function until(grid: Grid, id: string, isSo: (job: JobSummary) => boolean): Promise<JobSummary> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const job = (await grid.client.get(`/api/jobs/${id}`)) as JobSummary;
    if (isSo(job)) return job;
    if (performance.now() > deadline) throw new Error(`the job did not come so far: ${JSON.stringify(job)}`);
    await sleep(POLL_MS);
  }
}

/** The same number of rows of about the same size, with one index, in one statement. */
async function bareInsert(grid: Grid): Promise<number> {
  const url = process.env['DATABASE_URL'] ?? (await runningUrl(path.join(grid.folder, 'data')));
  if (url === null) throw new Error('the server of the grid was not found');
  const client = await connectSql(url, 10_000);
  try {
    await client.query('create schema bench_array; create table bench_array.rows (id bigserial primary key, job uuid, n int, state text)');
    const started = performance.now();
    await client.query(
      `insert into bench_array.rows (job, n, state) select '${randomUUID()}', i, 'pending' from generate_series(1, ${MAX_SHARDS}) i`,
    );
    const seconds = (performance.now() - started) / 1_000;
    await client.query('drop schema bench_array cascade');
    return seconds;
  } finally {
    await client.close();
  }
}

/** Resident memory of the coordinator's process, in MiB. */
async function memoryOf(grid: Grid): Promise<number> {
  const status = await readFile(`/proc/${grid.coordinator.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / KIB;
}

interface Seen {
  readonly peakMiB: number;
  /** The longest that a plain question waited for its answer. */
  readonly longestPauseMs: number;
}

function watchOf(grid: Grid): { stop(): Seen } {
  const seen = { peakMiB: 0, longestPauseMs: 0 };
  const over = new AbortController();
  const look = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const asked = performance.now();
      await fetch(new URL('/healthz', grid.url)).then((answer) => answer.arrayBuffer());
      seen.longestPauseMs = Math.max(seen.longestPauseMs, performance.now() - asked);
      seen.peakMiB = Math.max(seen.peakMiB, await memoryOf(grid));
      await sleep(POLL_MS);
    }
  };
  look().catch(() => {});
  return {
    stop() {
      over.abort();
      return seen;
    },
  };
}

function secondsSince(start: number): number {
  return rounded((performance.now() - start) / 1_000);
}
