import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { startGrid, type Grid } from '#tests/support/grid.ts';

import { type Benchmark, type Findings, median, rounded } from './benchmark.ts';
import { Client, latencies, type Target, throughput } from './bridge-load.ts';

const SUPPORT = path.join(path.dirname(import.meta.dirname), 'support');
const TOKENS = 64;
const MORE_TOKENS = 1_024;
const CONNECTIONS = 32;
const STREAMS = 2_000;
const TOKEN_EVERY_MS = 500;
/** Of the model that the greedy key and the modest one share. */
const NARROW = { model: 'narrow', sequences: 4, everyMs: 5 };
const GREEDY_STREAMS = 100;

/**
 * What the OpenAI door costs, from the client's socket to a device and back: coordinator, agent and load in processes of their own, the
 * real link between the first two. The engine is a script that emits its tokens at once, a message each, so that nothing is computed.
 * The baseline is a bare HTTP server in a process of its own that answers the same without a grid, in turn with it.
 */
export const bridge: Benchmark = {
  about: 'OpenAI door: latency, per-token cost, requests/s and memory, beside a bare engine',
  async run({ quick, note }) {
    const rounds = quick ? 3 : 5;
    const seconds = quick ? 1.5 : 4;
    const requests = quick ? 150 : 600;
    const children: ChildProcess[] = [];
    const grid = await startGrid();
    try {
      const { token } = (await grid.client.post('/api/tokens', { name: 'bench', uses: 2 })) as { token: string };
      const { key } = (await grid.client.post('/api/keys', { name: 'bench', tenant: 'bench' })) as { key: string };
      const bare: Target = { port: Number(await spawned(children, 'bare-engine-process.ts', [])), key };
      await spawned(children, 'scripted-agent-process.ts', [grid.url, token]);
      await spawned(children, 'scripted-agent-process.ts', [grid.url, token, NARROW.model, String(NARROW.sequences)]);
      const { key: other } = (await grid.client.post('/api/keys', { name: 'other', tenant: 'other' })) as { key: string };
      const ours: Target = { port: Number(new URL(grid.url).port), key };
      const measured: Record<string, number>[] = [];
      for (let n = 1; n <= rounds; n++) {
        const round: Record<string, number> = {};
        for (const [name, target] of [
          ['bare', bare],
          ['grid', ours],
        ] as const) {
          round[`${name}WholeMs`] = median(await latencies(target, { stream: false, tokens: TOKENS }, requests));
          round[`${name}StreamMs`] = median(await latencies(target, { stream: true, tokens: TOKENS }, requests));
          round[`${name}LongStreamMs`] = median(await latencies(target, { stream: true, tokens: MORE_TOKENS }, requests / 10));
          round[`${name}WholePerSecond`] = await throughput(
            target,
            { stream: false, tokens: TOKENS },
            { connections: CONNECTIONS, seconds },
          );
          round[`${name}StreamPerSecond`] = await throughput(
            target,
            { stream: true, tokens: TOKENS },
            { connections: CONNECTIONS, seconds },
          );
        }
        note(`round ${n} of ${rounds}: ${Object.entries(round).map(([name, value]) => `${name} ${rounded(value)}`).join(', ')}`); // prettier-ignore
        measured.push(round);
      }
      note(`a key with ${GREEDY_STREAMS} streams beside another`);
      const beside = await besideGreed(ours, { ...ours, key: other }, quick ? 15 : 60);
      note(`holding ${STREAMS} streams open`);
      return findingsOf(measured, await holdStreams(ours, grid, quick ? 6 : 30), beside);
    } finally {
      for (const child of children) child.disconnect();
      await grid.end();
    }
  },
};

/** Starts a process of tests/support and answers the first line that it writes. */
async function spawned(children: ChildProcess[], program: string, args: readonly string[]): Promise<string> {
  const child = fork(path.join(SUPPORT, program), args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], execArgv: [] });
  children.push(child);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  child.stdout?.once('data', (line: Buffer) => resolve(line.toString().trim()));
  child.once('exit', (code) => reject(new Error(`${program} ended with ${code}`)));
  return promise;
}

function residentMiB(pid: number): number {
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1_024;
}

interface Beside {
  readonly aloneMs: number;
  readonly besideMs: number;
}

/** Time to the first word of a modest key's answers: alone, and while another key keeps all slots of the model busy many times over. */
async function besideGreed(greedy: Target, modest: Target, answers: number): Promise<Beside> {
  const { model, everyMs } = NARROW;
  const one = await Client.open(modest, { stream: true, tokens: 4, everyMs, model });
  const many: Client[] = [];
  const run = { over: false };
  const measure = async (): Promise<number> => {
    const times: number[] = [];
    for (let n = 0; n < answers; n++) times.push(await one.firstWord());
    return median(times);
  };
  try {
    await measure();
    const aloneMs = await measure();
    for (let n = 0; n < GREEDY_STREAMS; n++) many.push(await Client.open(greedy, { stream: true, tokens: 100, everyMs, model }));
    const busy = many.map(async (client) => {
      while (!run.over) await client.ask();
    });
    await sleep(1_000);
    const besideMs = await measure();
    run.over = true;
    for (const client of many) client.close();
    await Promise.race([Promise.allSettled(busy), sleep(1_000)]);
    return { aloneMs, besideMs };
  } finally {
    one.close();
    for (const client of many) client.close();
  }
}

interface Held {
  readonly streams: number;
  readonly openMiB: number;
  readonly endMiB: number;
}

/** All streams open at once, each with a token now and then; the coordinator's memory when they are open and before they end. */
async function holdStreams(target: Target, { coordinator }: Grid, seconds: number): Promise<Held> {
  const tokens = Math.ceil((seconds * 1_000 + 6_000) / TOKEN_EVERY_MS);
  const clients: Client[] = [];
  for (let n = 0; n < STREAMS; n++) clients.push(await Client.open(target, { stream: true, tokens, everyMs: TOKEN_EVERY_MS }));
  try {
    // A stream that breaks off is counted as missing, at the end.
    const whole = Promise.allSettled(clients.map((client) => client.ask()));
    await sleep(4_000);
    const openMiB = residentMiB(coordinator.pid);
    await sleep(seconds * 1_000);
    const endMiB = residentMiB(coordinator.pid);
    const streams = (await whole).filter((answer) => answer.status === 'fulfilled' && answer.value.includes('[DONE]')).length;
    return { streams, openMiB, endMiB };
  } finally {
    for (const client of clients) client.close();
  }
}

function findingsOf(rounds: readonly Record<string, number>[], held: Held, { aloneMs, besideMs }: Beside): Findings {
  const of = (pick: (round: Record<string, number>) => number): number => rounded(median(rounds.map(pick)));
  const get = (round: Record<string, number>, name: string): number => round[name] ?? Number.NaN;
  const figures: Record<string, number> = {};
  for (const name of Object.keys(rounds[0] ?? {})) figures[name] = of((round) => get(round, name));
  figures['addedLatencyMs'] = of((round) => get(round, 'gridWholeMs') - get(round, 'bareWholeMs'));
  // Of the tokens alone: what a long stream takes longer than a short one, beyond what it takes the bare engine longer.
  const perToken = (round: Record<string, number>, name: string): number =>
    ((get(round, `${name}LongStreamMs`) - get(round, `${name}StreamMs`)) * 1_000) / (MORE_TOKENS - TOKENS);
  figures['addedPerTokenUs'] = of((round) => perToken(round, 'grid') - perToken(round, 'bare'));
  figures['firstWordAloneMs'] = rounded(aloneMs);
  figures['firstWordBesideGreedMs'] = rounded(besideMs);
  figures['concurrentStreams'] = held.streams;
  figures['streamsOpenMiB'] = rounded(held.openMiB);
  figures['streamsEndMiB'] = rounded(held.endMiB);
  return {
    figures,
    ratios: {
      'grid/bare whole': of((round) => get(round, 'gridWholePerSecond') / get(round, 'bareWholePerSecond')),
      'grid/bare streamed': of((round) => get(round, 'gridStreamPerSecond') / get(round, 'bareStreamPerSecond')),
      'first word beside/alone': rounded(besideMs / aloneMs),
      'memory end/open': rounded(held.endMiB / held.openMiB),
    },
    targets: {
      addedLatencyMs: { atMost: 0.6 },
      addedPerTokenUs: { atMost: 15 },
      'grid/bare whole': { atLeast: 0.5 },
      'grid/bare streamed': { atLeast: 0.25 },
      'first word beside/alone': { atMost: 2 },
      concurrentStreams: { atLeast: STREAMS },
      'memory end/open': { atMost: 1.1 },
    },
    absent: {},
  };
}
