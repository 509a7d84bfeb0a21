import fs from 'node:fs';
import { connect, createServer } from 'node:net';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import { realHost } from '#runtime/host.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';
import { createSystem } from '#runtime/kernel/system.ts';

import { bare, cpuMs } from './actors/bare.mjs';

/**
 * One thread under one load, in a process of its own: `fairness-cell.ts COLUMN MS` prints how late its timers and sockets were.
 *
 * Late is what the thread itself is to blame for: the time in which the machine let it wait for a core is taken off. A second thread
 * writes to the socket, each time with the moment at which it did.
 */

/** quiet: no load. cheap: 50 pairs of actors that do nothing else. costly: handlers of 0.3 ms. crowd: a mailbox that is never empty. */
export type FairnessColumn = 'quiet' | 'cheap' | 'costly' | 'crowd' | 'starved';

export interface Lateness {
  readonly timers: number;
  readonly timerP50Ms: number;
  readonly timerP99Ms: number;
  readonly timerWorstMs: number;
  readonly reads: number;
  readonly readP50Ms: number;
  readonly readP99Ms: number;
  readonly readWorstMs: number;
  readonly millionsPerS: number;
}

const PAIRS = 50;
const TICK_MS = 5;
const WRITE_MS = 3;
const COSTLY_MS = 0.3;
/** A moment and how long the main thread had waited for a core by then: two 64-bit counts of nanoseconds. */
const STAMP_BYTES = 16;

const Volley = protocol('volley', { hit: tell(), burst: tell() });

const schedstat = fs.openSync(`/proc/${process.pid}/schedstat`, 'r');
const buffer = Buffer.alloc(64);

/** How long the main thread was ready to run and had no core, in nanoseconds. */
function waitedForCore(): bigint {
  const length = fs.readSync(schedstat, buffer, 0, buffer.length, 0);
  return BigInt(buffer.toString('latin1', 0, length).split(' ')[1] ?? '0');
}

function spin(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

let handled = 0;

function flood(column: FairnessColumn): void {
  if (column === 'quiet') return;
  if (column === 'starved') {
    const actor = bare.spawn(() => () => {
      bare.send(actor, 1);
    });
    bare.send(actor, 1);
    return;
  }
  const system = createSystem({ name: 'flood', host: realHost() });
  const refs: Ref<typeof Volley>[] = [];
  for (let i = 0; i < PAIRS * 2; i++) {
    const partner = i ^ 1;
    const actor = defineActor<typeof Volley>({
      protocol: Volley,
      mailbox: { capacity: 4_096 },
      start: () => ({
        hit: () => {
          handled++;
          if (column === 'costly') spin(COSTLY_MS);
          refs[partner]?.hit();
        },
        burst: () => {
          handled++;
          for (let n = 0; n < 1_000; n++) refs[partner]?.hit();
        },
      }),
    });
    refs.push(system.spawn({ restart: 'permanent', actor }));
  }
  for (const [i, ref] of refs.entries()) {
    if (column === 'crowd') ref.burst();
    else if (i % 2 === 0) ref.hit();
  }
}

function quantile(values: number[], share: number): number {
  values.sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.POSITIVE_INFINITY;
}

async function measure(column: FairnessColumn, ms: number): Promise<Lateness> {
  const timers: number[] = [];
  const reads: number[] = [];
  const server = createServer((socket) => {
    let rest = Buffer.alloc(0);
    socket.on('data', (data) => {
      const now = process.hrtime.bigint();
      const waited = waitedForCore();
      rest = Buffer.concat([rest, data]);
      for (; rest.length >= STAMP_BYTES; rest = rest.subarray(STAMP_BYTES)) {
        const late = now - rest.readBigUInt64LE(0) - (waited - rest.readBigUInt64LE(8));
        reads.push(Math.max(Number(late) / 1e6, 0));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const writer = new Worker(new URL(import.meta.url), { workerData: port });
  await new Promise((resolve) => {
    writer.once('message', resolve);
  });

  flood(column);
  let last = performance.now();
  let lastWaited = waitedForCore();
  const ticker = setInterval(() => {
    const now = performance.now();
    const waited = waitedForCore();
    timers.push(Math.max(now - last - TICK_MS - Number(waited - lastWaited) / 1e6, 0));
    last = now;
    lastWaited = waited;
  }, TICK_MS);
  // The first moments compile the code.
  await new Promise((resolve) => setTimeout(resolve, 500));
  timers.length = 0;
  reads.length = 0;
  handled = 0;
  const started = cpuMs();
  await new Promise((resolve) => setTimeout(resolve, ms));
  const millionsPerS = handled / (cpuMs() - started) / 1_000;
  clearInterval(ticker);
  await writer.terminate();
  server.close();
  return {
    timers: timers.length,
    timerP50Ms: quantile(timers, 0.5),
    timerP99Ms: quantile(timers, 0.99),
    timerWorstMs: quantile(timers, 1),
    reads: reads.length,
    readP50Ms: quantile(reads, 0.5),
    readP99Ms: quantile(reads, 0.99),
    readWorstMs: quantile(reads, 1),
    millionsPerS,
  };
}

function write(port: number): void {
  const socket = connect(port, '127.0.0.1', () => {
    socket.setNoDelay(true);
    setInterval(() => {
      const stamp = Buffer.alloc(STAMP_BYTES);
      stamp.writeBigUInt64LE(waitedForCore(), 8);
      stamp.writeBigUInt64LE(process.hrtime.bigint(), 0);
      socket.write(stamp);
    }, WRITE_MS);
    parentPort?.postMessage('connected');
  });
  socket.on('error', () => undefined);
}

if (isMainThread) {
  const [, , column = 'quiet', ms = '3000'] = process.argv;
  const lateness = await measure(column as FairnessColumn, Number(ms));
  process.stdout.write(`${JSON.stringify(lateness)}\n`);
  process.exit(0);
} else write(workerData as number);
