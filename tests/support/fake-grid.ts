import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

import { Server, type Socket } from 'socket.io';

import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import type { Answer, DeviceSummary, JobDelta, ProblemJson } from '#actors/contract/live.ts';
import type { Receipt } from '#actors/contract/receipt.ts';

import { countStates, detailOf, outputOf, receiptOf, type InventedJob } from './invented-jobs.ts';

/** A grid without a grid: speaks the live contract over real sockets with invented jobs, for tests of the pages only. */
export interface FakeGrid {
  readonly url: string;
  readonly key: string;
  /** Requests of sockets and HTTP in their order, as `watch`, `POST /api/jobs/…/pause`. */
  readonly asked: string[];
  add(job: InventedJob): void;
  /** Moves shards and tells the watchers; `unheard` counts the delta but does not send it: a gap. */
  move(job: string, changes: readonly (readonly [index: number, state: ShardState])[], how?: 'told' | 'unheard'): void;
  setDevice(device: DeviceSummary): void;
  /** Cuts every connection and refuses new ones until `restore`. */
  cut(): void;
  restore(): void;
  close(): Promise<void>;
}

export interface FakeGridOptions {
  readonly key?: string;
  readonly jobs?: readonly InventedJob[];
  readonly devices?: readonly DeviceSummary[];
  /** Folder of the built pages; without it there are none. */
  readonly pages?: string;
  /** Changes each receipt on its way out, as a forger would. */
  readonly forge?: (receipt: Receipt) => unknown;
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};
const POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; connect-src 'self' ws: wss:; object-src 'none'; frame-ancestors 'none'";
const NOT_THE_KEY: ProblemJson = {
  code: 'UNAUTHENTICATED',
  message: 'This key is unknown or was revoked.',
  fix: 'Ask an administrator for a key of this grid.',
};

export async function startFakeGrid({
  key = 'test-key',
  jobs = [],
  devices = [],
  pages,
  forge = (receipt) => receipt,
}: FakeGridOptions = {}): Promise<FakeGrid> {
  const known = new Map(jobs.map((job) => [job.summary.id, job]));
  const machines = new Map(devices.map((device) => [device.id, device]));
  const asked: string[] = [];
  let away = false;

  const http = createServer((request, response) => {
    if (away) return void request.socket.destroy();
    const { pathname } = new URL(request.url ?? '/', 'http://grid');
    if (pathname.startsWith('/api/')) api(request, response, pathname);
    else page(response, pathname);
  });
  const io = new Server(http, { serveClient: false, perMessageDeflate: false, allowRequest: (_, decide) => decide(null, !away) });

  function page(response: ServerResponse, pathname: string): void {
    if (pages === undefined) return void response.writeHead(404).end();
    const file = path.join(pages, path.extname(pathname) === '' ? 'index.html' : path.normalize(pathname));
    try {
      const body = readFileSync(file);
      response
        .writeHead(200, { 'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream', 'content-security-policy': POLICY })
        .end(body);
    } catch {
      response.writeHead(404).end();
    }
  }

  function api(request: IncomingMessage, response: ServerResponse, pathname: string): void {
    asked.push(`${request.method} ${pathname}`);
    const refuse = (status: number, problem: ProblemJson): void =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(problem));
    if (request.headers.authorization !== `Bearer ${key}`) return refuse(401, NOT_THE_KEY);
    const [, , , id = '', what = '', index = '', part = ''] = pathname.split('/');
    const job = known.get(id);
    if (!job) return refuse(404, { code: 'NOT_FOUND', message: `There is no job ${id}.` });
    if (request.method === 'POST') {
      const state = { pause: 'paused', resume: 'running', cancel: 'cancelled' }[what];
      if (state !== 'paused' && state !== 'running' && state !== 'cancelled')
        return refuse(404, { code: 'NOT_FOUND', message: 'There is no such action.' });
      if (job.summary.state === 'done') return refuse(409, { code: 'CONFLICT', message: 'The job is done already.' });
      job.summary = { ...job.summary, state };
      tell(job, []);
      return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(job.summary));
    }
    if (what === 'result')
      return void response
        .writeHead(200, { 'content-disposition': `attachment; filename="${job.summary.name}.txt"` })
        .end(outputOf(job, job.summary.shards - 1));
    if (part === 'output') return void response.end(outputOf(job, Number(index)));
    const receipt = part === 'receipt' ? receiptOf(job, Number(index)) : null;
    if (receipt) return void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(forge(receipt)));
    refuse(404, { code: 'NOT_FOUND', message: 'The job is not sealed yet.' });
  }

  function tell(job: InventedJob, changes: JobDelta['changes'], how: 'told' | 'unheard' = 'told'): void {
    job.summary = { ...job.summary, counts: countStates(job.states) };
    job.seq += 1;
    if (how === 'told') io.to(job.summary.id).emit('job', { seq: job.seq, summary: job.summary, changes } satisfies JobDelta);
    io.emit('jobs:changed', job.summary);
  }

  io.use((socket, next) => {
    if (socket.handshake.auth['key'] === key) return next();
    next(Object.assign(new Error(NOT_THE_KEY.message), { data: NOT_THE_KEY }));
  });
  io.on('connection', (socket: Socket) => {
    type Reply = (answer: Answer<unknown>) => void;
    const answer = (event: string, run: (payload: { job: string; index: number }) => Answer<unknown>): void => {
      socket.on(event, (...args: unknown[]) => {
        asked.push(event);
        const reply = args.at(-1) as Reply;
        reply(run((args.length > 1 ? args[0] : {}) as { job: string; index: number }));
      });
    };
    const withJob = (id: string, run: (job: InventedJob) => unknown): Answer<unknown> => {
      const job = known.get(id);
      return job
        ? { ok: true, value: run(job) }
        : { ok: false, error: { code: 'NOT_FOUND', message: `There is no job ${id}.`, fix: 'Look at the list of jobs.' } };
    };
    answer('jobs', () => ({ ok: true, value: [...known.values()].map((job) => job.summary) }));
    answer('devices', () => ({ ok: true, value: [...machines.values()] }));
    answer('watch', ({ job }) =>
      withJob(job, (found) => {
        void socket.join(job);
        return { seq: found.seq, summary: found.summary, states: Buffer.from(found.states) };
      }),
    );
    answer('unwatch', ({ job }) => {
      void socket.leave(job);
      return { ok: true, value: true };
    });
    answer('why', ({ job }) =>
      withJob(job, ({ summary }) => ({
        job: summary.id,
        shard: null,
        pending: summary.counts.pending,
        hold: 'none',
        text: `no device can take it now: of 12, 9 have no free slot; 3 not connected`,
        devices: 12,
        eligible: 0,
        reasons: [
          { reason: 'slots', devices: 9, text: 'have no free slot' },
          { reason: 'absent', devices: 3, text: 'not connected' },
        ],
      })),
    );
    answer('shard', ({ job, index }) => withJob(job, (found) => detailOf(found, index)));
  });

  await new Promise<void>((listening) => http.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    key,
    asked,
    add(job) {
      known.set(job.summary.id, job);
      io.emit('jobs:changed', job.summary);
    },
    move(id, changes, how) {
      const job = known.get(id);
      if (!job) throw new Error(`no job ${id}`);
      const bytes = changes.map(([index, state]): [number, number] => [index, SHARD_STATES.indexOf(state)]);
      for (const [index, byte] of bytes) job.states[index] = byte;
      tell(job, bytes, how);
    },
    setDevice(device) {
      machines.set(device.id, device);
      io.emit('device', device);
    },
    cut() {
      away = true;
      for (const socket of io.sockets.sockets.values()) socket.conn.close();
    },
    restore() {
      away = false;
    },
    async close() {
      await io.close();
    },
  };
}
