import { randomUUID } from 'node:crypto';
import path from 'node:path';

import { io, type Socket } from 'socket.io-client';

import { JobSpec } from '#actors/contract/job-spec.ts';
import type { Answer, JobSummary } from '#actors/contract/live.ts';
import type { ObjectRef } from '#actors/contract/primitives.ts';
import { runningUrl } from '#runtime/database/embedded/running-url.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';

import { type Benchmark, type Findings, median, rounded } from './benchmark.ts';
import { openCommitRate, type CommitRate } from './commit-rate.ts';
import { bareSql } from './dispatch/bare-sql.ts';
import { bullMq } from './dispatch/bullmq.ts';
import { graphileWorker } from './dispatch/graphile.ts';
import { uploadWordCount } from './examples.ts';
import { startInstantAgent, type InstantAgent } from './instant-agent.ts';

const DEVICES = 100;
const SLOTS = 16;
const CONNECTIONS = 32;
const QUORUMS = [1, 2] as const;
/** Warms every code path up. */
const TRIAL_SHARDS = 2_000;
const JOB_LIMIT_MS = 120_000;

/** What is divided by what. */
const RATIOS = {
  'dispatch/bareSql': ['quorum1ShardsPerSecond', 'bareSqlQuorum1PerSecond'],
  'dispatchQuorum2/bareSql': ['quorum2ShardsPerSecond', 'bareSqlQuorum2PerSecond'],
  'dispatch/graphile': ['quorum1ShardsPerSecond', 'graphilePerSecond'],
  'dispatch/graphileConsume': ['quorum1ShardsPerSecond', 'graphileConsumePerSecond'],
  'dispatch/bullMq': ['quorum1ShardsPerSecond', 'bullMqPerSecond'],
  'dispatch/bullMqConsume': ['quorum1ShardsPerSecond', 'bullMqConsumePerSecond'],
  'dispatch/commit32': ['quorum1ShardsPerSecond', 'commit32PerSecond'],
  'dispatchQuorum2/commit32': ['quorum2ShardsPerSecond', 'commit32PerSecond'],
} as const;

const TARGETS = {
  'dispatch/bareSql': { atLeast: 0.6 },
  'dispatchQuorum2/bareSql': { atLeast: 0.5 },
  'dispatch/graphile': { atLeast: 1 },
  'dispatch/bullMq': { atLeast: 3 },
};

/** A round's figures, by their names. */
type Round = Record<string, number>;

/**
 * From submitting a job to its seal, through the real coordinator in a process of its own: ledger, actors and link over
 * loopback, embedded PostgreSQL that syncs. The devices live in this process and answer at once, each over a WebSocket of
 * its own, with votes signed as agents sign them; the coordinator checks every signature. So what is measured is the grid.
 *
 * In turn with it, on the same server and disk, with as many shards or jobs: one-row commits; the same work in bare SQL,
 * without actors, sockets or signatures; graphile-worker at its fastest; BullMQ on a Redis that syncs as well. All are
 * measured from the first row or job that is handed in to the last that is done.
 */
export const dispatch: Benchmark = {
  about: 'submit → sealed shards/s through the whole control plane, beside bare SQL, graphile-worker and BullMQ on the same disk',
  async run({ quick, note }) {
    const rounds = quick ? 1 : 3;
    const seconds = quick ? 1.5 : 3;
    const shards = quick ? 10_000 : 20_000;
    note(`starting a grid and ${DEVICES} devices with ${SLOTS} slots each`);
    const grid = await startGrid();
    const agents: InstantAgent[] = [];
    const desk = io(grid.url, { auth: { key: grid.adminKey }, transports: ['websocket'] });
    let commits: CommitRate | null = null;
    const absent: Record<string, string> = {};
    try {
      const { token } = (await grid.client.post('/api/tokens', { name: 'bench', uses: DEVICES })) as { token: string };
      for (let n = 0; n < DEVICES; n++) agents.push(await startInstantAgent({ url: grid.url, token, name: `bench-${n}`, slots: SLOTS }));
      commits = await openCommitRate(await databaseOf(grid), CONNECTIONS).catch((error: unknown) => {
        absent['commit rate'] = error instanceof Error ? error.message : String(error);
        return null;
      });
      const module = await uploadWordCount(grid.client);
      for (const quorum of QUORUMS) await shardsPerSecond(desk, module, { shards: TRIAL_SHARDS, quorum });
      const url = await databaseOf(grid);

      const measured: Round[] = [];
      for (let n = 1; n <= rounds; n++) {
        const round: Round = { shards };
        const baseline = async (name: string, measure: () => Promise<Round>): Promise<void> => {
          try {
            Object.assign(round, await measure());
          } catch (error) {
            absent[name] = error instanceof Error ? error.message : String(error);
          }
        };
        const rate = commits;
        if (rate !== null) {
          await baseline('commit rate', async () => ({
            commit1PerSecond: await rate.measure(1, seconds),
            commit32PerSecond: await rate.measure(CONNECTIONS, seconds),
          }));
        }
        for (const quorum of QUORUMS) {
          round[`quorum${quorum}ShardsPerSecond`] = await shardsPerSecond(desk, module, { shards, quorum });
          await baseline('bare SQL', async () => ({ [`bareSqlQuorum${quorum}PerSecond`]: await bareSql(url, shards, quorum) }));
        }
        await baseline('graphile-worker', async () => {
          const { endToEnd, consume } = await graphileWorker(url, shards);
          return { graphilePerSecond: endToEnd, graphileConsumePerSecond: consume };
        });
        await baseline('BullMQ', async () => {
          const { endToEnd, consume } = await bullMq(shards);
          return { bullMqPerSecond: endToEnd, bullMqConsumePerSecond: consume };
        });
        note(
          `round ${n} of ${rounds}: ${Object.entries(round)
            .map(([name, value]) => `${name} ${Math.round(value)}`)
            .join(', ')}`,
        );
        measured.push(round);
      }
      const refused = agents.flatMap((agent) => agent.refused);
      if (refused.length > 0) throw new Error(`${refused.length} votes were refused, the first one: ${refused[0]}`);
      return findingsOf(measured, absent);
    } finally {
      desk.disconnect();
      await commits?.close();
      for (const agent of agents) await agent.close();
      await grid.end();
    }
  },
};

async function databaseOf(grid: Grid): Promise<string> {
  const url = process.env['DATABASE_URL'] ?? (await runningUrl(path.join(grid.folder, 'data')));
  if (url === null) throw new Error('the server of the grid was not found');
  return url;
}

/** Submits a job over socket.io and waits until the feed says that it is sealed. */
async function shardsPerSecond(desk: Socket, module: ObjectRef, { shards, quorum }: { shards: number; quorum: number }): Promise<number> {
  const id = randomUUID();
  const spec = JobSpec.parse({
    version: 1,
    name: `bench of ${shards}`,
    kind: 'wasm',
    module,
    args: ['{shard}'],
    shards: { count: shards },
    quorum,
  });
  const over = Promise.withResolvers<void>();
  const limit = setTimeout(() => over.reject(new Error(`the job was not sealed within ${JOB_LIMIT_MS} ms`)), JOB_LIMIT_MS);
  const changed = (job: JobSummary): void => {
    if (job.id !== id) return;
    if (job.state === 'done') over.resolve();
    if (job.state === 'failed' || job.state === 'cancelled') over.reject(new Error(`the job is ${job.state}: ${job.reasons[0]?.reason}`));
  };
  desk.on('jobs:changed', changed);
  try {
    const started = performance.now();
    const answer = (await desk.timeout(JOB_LIMIT_MS).emitWithAck('submit', { id, spec })) as Answer<JobSummary>;
    if (!answer.ok) throw new Error(`the grid does not take the job: ${answer.error.message}`);
    await over.promise;
    return shards / ((performance.now() - started) / 1_000);
  } finally {
    clearTimeout(limit);
    desk.off('jobs:changed', changed);
  }
}

function findingsOf(rounds: readonly Round[], absent: Record<string, string>): Findings {
  const figures: Record<string, number> = { devices: DEVICES, slots: DEVICES * SLOTS, rounds: rounds.length };
  for (const name of Object.keys(rounds[0] ?? {})) figures[name] = rounded(median(rounds.map((round) => round[name] ?? Number.NaN)));
  const ratios: Record<string, number> = {};
  for (const [name, [ours, theirs]] of Object.entries(RATIOS)) {
    // Of each round by itself: a disk that is busy for a while slows both sides down.
    const quotients = rounds.map((round) => (round[ours] ?? Number.NaN) / (round[theirs] ?? Number.NaN));
    if (quotients.every(Number.isFinite)) ratios[name] = rounded(median(quotients));
  }
  return { figures, ratios, targets: TARGETS, absent };
}
