import { openAsBlob } from 'node:fs';
import { ReadableStream } from 'node:stream/web';

import { z } from 'zod';

import type { ClusterReport } from '#actors/contract/cluster-report.ts';
import type { Submission } from '#actors/contract/job-spec.ts';
import type { DeviceSummary, JobSummary, ShardDetail } from '#actors/contract/live.ts';
import { SignedRequest, type ObjectRef } from '#actors/contract/primitives.ts';
import type { WhyPending } from '#actors/contract/why-pending.ts';
import type { Receipt } from '#actors/contract/receipt.ts';
import { ERRORS, GridError, type ErrorCode } from '#runtime/errors.ts';

const Problem = z.object({ code: z.string(), message: z.string(), path: z.string().optional(), fix: z.string().optional() });
const Offer = z.union([z.object({ state: z.literal('present') }), z.object({ state: z.literal('missing'), put: SignedRequest })]);

const TIMEOUT_MS = 60_000;
const UPLOAD_TIMEOUT_MS = 3_600_000;

/** A source of bytes that can be opened when it is needed, and again when an upload is repeated. */
export type ObjectSource = { readonly bytes: Uint8Array } | { readonly file: string } | { readonly open: () => AsyncIterable<Uint8Array> };

/** The HTTP API of one grid, as a client sees it. Every failure is a GridError with a way out. */
export interface GridClient {
  readonly url: string;
  whoami(): Promise<{ name: string; tenant: string; role: string; gridKey: string }>;
  /** Makes sure that the grid has the object; answers whether it had to be sent. */
  upload(ref: ObjectRef, source: ObjectSource): Promise<boolean>;
  submit(submission: Submission): Promise<JobSummary>;
  jobs(limit?: number): Promise<JobSummary[]>;
  job(id: string): Promise<JobSummary>;
  shard(id: string, index: number): Promise<ShardDetail>;
  why(id: string, index?: number): Promise<WhyPending>;
  control(id: string, action: 'pause' | 'resume' | 'cancel'): Promise<JobSummary>;
  outputs(id: string): Promise<{ index: number; ref: ObjectRef }[]>;
  output(id: string, index: number): Promise<Response>;
  receipts(id: string): Promise<Receipt[]>;
  devices(): Promise<DeviceSummary[]>;
  cluster(): Promise<ClusterReport>;
  device(id: string): Promise<DeviceSummary>;
  deviceAction(id: string, action: 'drain' | 'undrain' | 'revoke'): Promise<DeviceSummary>;
  get(path: string): Promise<unknown>;
  post(path: string, body: unknown): Promise<unknown>;
  put(path: string, body: unknown): Promise<unknown>;
  remove(path: string): Promise<unknown>;
}

export function checkGridUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new GridError('BAD_URL', `${JSON.stringify(text)} is not the address of a grid`, {
      path: '--url',
      fix: 'give it like http://127.0.0.1:7070',
    });
  }
  return url.origin;
}

function isCode(code: string): code is ErrorCode {
  return code in ERRORS;
}

async function problemOf(response: Response): Promise<GridError> {
  const problem = Problem.safeParse(await response.json().catch(() => null));
  if (!problem.success)
    return new GridError('UNREACHABLE', `what answers there is not a grid (HTTP ${response.status})`, { path: '--url' });
  const { code, message, path, fix } = problem.data;
  return new GridError(isCode(code) ? code : 'INTERNAL', message, {
    ...(path === undefined ? {} : { path }),
    ...(fix === undefined ? {} : { fix }),
  });
}

export function createGridClient({ url: given, key }: { url: string; key: string | undefined }): GridClient {
  const url = checkGridUrl(given);

  async function send(path: string, init: RequestInit = {}, timeoutMs = TIMEOUT_MS): Promise<Response> {
    if (key === undefined) {
      throw new GridError('UNAUTHENTICATED', 'no key was given', {
        path: '--key',
        fix: 'give --key or set CORPGRID_KEY; the first start of the grid printed an admin key',
      });
    }
    if (!/^[!-~]+$/.test(key)) {
      throw new GridError('UNAUTHENTICATED', 'this is not a key', {
        path: '--key',
        fix: 'give it as it was printed: cg_ and then letters and digits',
      });
    }
    const headers = { authorization: `Bearer ${key}`, ...(init.body === undefined ? {} : { 'content-type': 'application/json' }) };
    return reach(path, { ...init, headers, signal: AbortSignal.timeout(timeoutMs) });
  }

  async function reach(at: string, init: RequestInit): Promise<Response> {
    const response = await fetch(new URL(at, url), init).catch((error: unknown) => {
      // A body that could not be read to its end is the caller's failure and not the grid's.
      if (error instanceof Error && error.cause instanceof GridError) throw error.cause;
      const fix = 'check the address and that `npm start` runs there';
      throw new GridError('UNREACHABLE', `no grid answers at ${url}`, { path: '--url', fix, cause: error });
    });
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async function get<T>(path: string): Promise<T> {
    return (await (await send(path)).json()) as T;
  }

  async function post<T>(path: string, body?: unknown): Promise<T> {
    const init = body === undefined ? { method: 'POST' } : { method: 'POST', body: JSON.stringify(body) };
    return (await (await send(path, init)).json()) as T;
  }

  return {
    url,
    whoami: () => get('/api/whoami'),
    async upload(ref, source) {
      const offer = Offer.parse(await post('/api/objects', ref));
      if (offer.state === 'present') return false;
      const { put } = offer;
      const response = await reach(put.url, {
        method: put.method,
        headers: { ...put.headers, ...('open' in source ? { 'content-length': String(ref.size) } : {}) },
        body: await bodyOf(source),
        signal: AbortSignal.timeout(UPLOAD_TIMEOUT_MS),
        ...('open' in source ? { duplex: 'half' as const } : {}),
      });
      await response.body?.cancel();
      return true;
    },
    submit: (submission) => post('/api/jobs', submission),
    jobs: (limit = 100) => get(`/api/jobs?limit=${limit}`),
    job: (id) => get(`/api/jobs/${encodeURIComponent(id)}`),
    shard: (id, index) => get(`/api/jobs/${encodeURIComponent(id)}/shards/${index}`),
    why: (id, index) => get(`/api/jobs/${encodeURIComponent(id)}/${index === undefined ? '' : `shards/${index}/`}why`),
    control: (id, action) => post(`/api/jobs/${encodeURIComponent(id)}/${action}`),
    outputs: (id) => get(`/api/jobs/${encodeURIComponent(id)}/outputs`),
    output: (id, index) => send(`/api/jobs/${encodeURIComponent(id)}/shards/${index}/output`, {}, UPLOAD_TIMEOUT_MS),
    receipts: (id) => get(`/api/jobs/${encodeURIComponent(id)}/receipts`),
    devices: () => get('/api/devices'),
    cluster: () => get('/api/cluster'),
    device: (id) => get(`/api/devices/${encodeURIComponent(id)}`),
    deviceAction: (id, action) => post(`/api/devices/${encodeURIComponent(id)}/${action}`),
    get,
    post,
    put: async (path, body) => (await send(path, { method: 'PUT', body: JSON.stringify(body) })).json(),
    remove: async (path) => (await send(path, { method: 'DELETE' })).json(),
  };
}

async function bodyOf(source: ObjectSource): Promise<Blob | ReadableStream> {
  if ('bytes' in source) return new Blob([new Uint8Array(source.bytes)]);
  if ('file' in source) return openAsBlob(source.file);
  return ReadableStream.from(source.open());
}
