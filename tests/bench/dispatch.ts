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
import { uploadWordCount } from './examples.ts';
import { startInstantAgent, type InstantAgent } from './instant-agent.ts';

const DEVICES = 8;
const SLOTS = 64;
const CONNECTIONS = 32;
const QUORUMS = [1, 2] as const;
/** Sizes the jobs of the rounds, and warms every code path up. */
const TRIAL_SHARDS = 1_000;
const JOB_LIMIT_MS = 120_000;

/** A round's figures, by their names. */
type Round = Record<string, number>;

/**
 * From submitting a job to its seal, through the real coordinator in a process of its own: ledger, actors and link over
 * loopback, embedded PostgreSQL. The devices live in this process and answer at once, so what is measured is the grid.
 * Beside it, in turn with it, what one-row commits this disk does on the same server.
 */
export const dispatch: Benchmark = {
  about: 'submit → sealed shards/s through the whole control plane, beside the commit rate of this disk',
  async run({ quick, note }) {
    const rounds = quick ? 3 : 5;
    const seconds = quick ? 1.5 : 4;
    note(`starting a grid and ${DEVICES} devices with ${SLOTS} slots each`);
    const grid = await startGrid();
    const agents: InstantAgent[] = [];
    const desk = io(grid.url, { auth: { key: grid.adminKey }, transports: ['websocket'] });
    let commits: CommitRate | null = null;
    const absent: Record<string, string> = {};
    try {
      const { token } = (await grid.client.post('/api/tokens', { name: 'bench', uses: DEVICES })) as { token: string };
      for (let n = 0; n < DEVICES; n++) agents.push(await startInstantAgent({ url: grid.url, token, name: `bench-${n}`, slots: SLOTS }));
      commits = await openBaseline(grid).catch((error: unknown) => {
        absent['commit rate'] = error instanceof Error ? error.message : String(error);
        return null;
      });
      const module = await uploadWordCount(grid.client);
      const trial = new Map<number, number>();
      for (const quorum of QUORUMS) trial.set(quorum, await shardsPerSecond(desk, module, { shards: TRIAL_SHARDS, quorum }));

      const measured: Round[] = [];
      for (let n = 1; n <= rounds; n++) {
        const round: Round = {};
        if (commits !== null) {
          round['commit1PerSecond'] = await commits.measure(1, seconds);
          round['commit32PerSecond'] = await commits.measure(CONNECTIONS, seconds);
        }
        for (const quorum of QUORUMS) {
          const shards = Math.min(50_000, Math.max(500, Math.round((trial.get(quorum) ?? 0) * seconds)));
          round[`quorum${quorum}Shards`] = shards;
          round[`quorum${quorum}ShardsPerSecond`] = await shardsPerSecond(desk, module, { shards, quorum });
        }
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

async function openBaseline(grid: Grid): Promise<CommitRate> {
  const url = process.env['DATABASE_URL'] ?? (await runningUrl(path.join(grid.folder, 'data')));
  if (url === null) throw new Error('the server of the grid was not found');
  return openCommitRate(url, CONNECTIONS);
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
  for (const baseline of ['commit1', 'commit32']) {
    for (const quorum of QUORUMS) {
      const quotients = rounds.map(
        (round) => (round[`quorum${quorum}ShardsPerSecond`] ?? Number.NaN) / (round[`${baseline}PerSecond`] ?? Number.NaN),
      );
      // Of each round by itself: a disk that is busy for a while slows both sides down.
      if (absent['commit rate'] === undefined)
        ratios[`dispatch${quorum === 1 ? '' : `Quorum${quorum}`}/${baseline}`] = rounded(median(quotients));
    }
  }
  return { figures, ratios, targets: {}, absent };
}
