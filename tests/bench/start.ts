import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { JobSpec } from '#actors/contract/job-spec.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';

import { type Benchmark, median, rounded } from './benchmark.ts';
import { upload, uploadWordCount } from './examples.ts';

const POLL_MS = 10;
const LIMIT_MS = 60_000;

interface Round {
  readonly health: number;
  readonly page: number;
  readonly sealed: number;
}

/** A warm machine: UI built, database made, this machine's agent enrolled. What remains is what every later start costs. */
export const start: Benchmark = {
  about: 'from process start of `up --with-agent` on existing data to the UI, and to a first sealed one-shard job',
  async run({ quick, note }) {
    const rounds: Round[] = [];
    note('making the data folder with a first start');
    const grid = await startGrid({ ui: true, withAgent: true });
    try {
      // Also enrols the agent and fills its cache with the module.
      await sealOneShard(grid);
      for (let n = 1, all = quick ? 3 : 7; n <= all; n++) {
        await grid.coordinator.stop();
        const round = await timeOneStart(grid);
        note(
          `round ${n} of ${all}: healthz ${round.health.toFixed(2)} s, UI ${round.page.toFixed(2)} s, sealed ${round.sealed.toFixed(2)} s`,
        );
        rounds.push(round);
      }
    } finally {
      await grid.end();
    }
    const over = (value: (round: Round) => number): number => rounded(median(rounds.map(value)));
    return {
      figures: {
        rounds: rounds.length,
        healthSeconds: over((round) => round.health),
        uiSeconds: over((round) => round.page),
        firstJobSeconds: over((round) => round.sealed),
        worstUiSeconds: rounded(Math.max(...rounds.map((round) => round.page))),
        worstFirstJobSeconds: rounded(Math.max(...rounds.map((round) => round.sealed))),
      },
      ratios: {},
      targets: { uiSeconds: { atMost: 5 }, firstJobSeconds: { atMost: 10 } },
      absent: {},
    };
  },
};

async function timeOneStart(grid: Grid): Promise<Round> {
  const started = performance.now();
  const since = (): number => (performance.now() - started) / 1_000;
  const ready = grid.restartCoordinator();
  try {
    await answers(new URL('/healthz', grid.url), 'application/json');
    const health = since();
    await answers(new URL('/', grid.url), 'text/html');
    const page = since();
    await sealOneShard(grid);
    return { health, page, sealed: since() };
  } finally {
    await ready;
  }
}

async function answers(url: URL, accept: string): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    // Nobody listens while the process starts.
    const response = await fetch(url, { headers: { accept } }).catch(() => null);
    await response?.body?.cancel();
    if (response?.ok === true && (response.headers.get('content-type') ?? '').startsWith(accept)) return;
    if (performance.now() > deadline) throw new Error(`${url.href} did not answer within ${LIMIT_MS} ms`);
    await sleep(POLL_MS);
  }
}

/** A job of one shard that a real agent runs in a real sandbox. */
async function sealOneShard({ client }: Grid): Promise<void> {
  const module = await uploadWordCount(client);
  const input = await upload(client, new TextEncoder().encode(`the first words of a start ${randomUUID()}\n`));
  const spec = JobSpec.parse({
    version: 1,
    name: 'first job',
    kind: 'wasm',
    module,
    args: ['count'],
    shards: { inputs: [input] },
    quorum: 1,
  });
  const { id } = await client.submit({ id: randomUUID(), spec });
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const { state, reasons } = await client.job(id);
    if (state === 'done') return;
    if (state === 'failed') throw new Error(`the job failed: ${reasons[0]?.reason}`);
    if (performance.now() > deadline) throw new Error(`the job is still ${state} after ${LIMIT_MS} ms`);
    await sleep(POLL_MS);
  }
}
