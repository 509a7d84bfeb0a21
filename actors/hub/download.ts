import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { z } from 'zod';

import { Sha256 } from '#actors/contract/primitives.ts';
import { GridError } from '#runtime/errors.ts';
import { backoffMs } from '#runtime/kernel/backoff.ts';
import type { Cancellable } from '#runtime/kernel/host.ts';

export interface Download {
  readonly url: string;
  /** The file that grows; it is there again when a later call takes the download up. */
  readonly part: string;
  /** What the file must be, when somebody said so. */
  readonly sha256: string | undefined;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  readonly after: (ms: number, run: () => void) => Cancellable;
  readonly random: () => number;
  readonly onProgress: (received: number, size: number) => void;
}

/** What the server says of the file; a download goes on only while this stays the same. */
const Remote = z.strictObject({ url: z.string(), etag: z.string(), size: z.number().int().positive(), sha256: Sha256.optional() });
type Remote = z.infer<typeof Remote>;

const TRIES = 6;
const BACKOFF = { minMs: 500, maxMs: 30_000, jitter: 0.5 };
/** A server on which nothing moves for this long is asked anew. */
const STALL_MS = 30_000;
const REDIRECTS = 5;

/** Trying again would not help. */
class Hopeless extends GridError {}

/**
 * Downloads a file, and again from where it broke while the line or the server is to blame, also across restarts. Size and
 * SHA-256 are checked at the end; a file that turned out to be another is deleted, so that the next try begins anew.
 *
 * @throws GridError MODEL_FAILED, TOO_LARGE or HASH_MISMATCH; what was received stays for the next try unless it was wrong
 */
export async function download(wanted: Download): Promise<{ sha256: string; size: number }> {
  await mkdir(path.dirname(wanted.part), { recursive: true, mode: 0o700 });
  const remote = await persist(wanted, () => look(wanted));
  if (wanted.sha256 !== undefined && remote.sha256 !== undefined && wanted.sha256 !== remote.sha256) {
    throw new Hopeless('HASH_MISMATCH', `the server says that the file's SHA-256 is ${remote.sha256}`, { path: 'sha256' });
  }
  if (!(await isSame(wanted.part, remote))) {
    await rm(wanted.part, { force: true });
    await writeFile(note(wanted.part), JSON.stringify(remote), { mode: 0o600 });
  }
  await persist(wanted, () => goOn(wanted, remote));
  const sha256 = await hashOf(wanted.part, wanted.signal);
  const expected = wanted.sha256 ?? remote.sha256;
  if (expected !== undefined && sha256 !== expected) {
    await forget(wanted.part);
    throw new Hopeless('HASH_MISMATCH', `the file's SHA-256 is ${sha256}, expected ${expected}`, {
      path: 'sha256',
      fix: 'pull it again; when it happens again the source has another file',
    });
  }
  return { sha256, size: remote.size };
}

/** Deletes what was received. */
export async function forget(part: string): Promise<void> {
  await rm(part, { force: true });
  await rm(note(part), { force: true });
}

function note(part: string): string {
  return `${part}.json`;
}

async function persist<T>({ signal, after, random }: Download, work: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Hopeless) throw error;
      if (failures === TRIES) {
        throw new GridError('MODEL_FAILED', `the download broke ${TRIES} times: ${reasonOf(error)}`, {
          fix: 'pull it again later: it goes on where it broke',
          cause: error,
        });
      }
    }
    await new Promise<void>((resolve) => after(backoffMs(failures, BACKOFF, random), resolve));
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

/** Asks for the file's size and identity, following redirects by hand: a hub names the SHA-256 in the answer that redirects. */
async function look({ url, maxBytes, signal, after }: Download): Promise<Remote> {
  const stall = watchStall(after);
  try {
    return await follow(url, maxBytes, AbortSignal.any([signal, stall.signal]));
  } finally {
    stall.end();
  }
}

async function follow(url: string, maxBytes: number, signal: AbortSignal): Promise<Remote> {
  let at = url;
  let sha256: string | undefined;
  for (let hop = 0; hop <= REDIRECTS; hop++) {
    const response = await fetch(at, { headers: { range: 'bytes=0-0' }, redirect: 'manual', signal });
    await response.body?.cancel();
    const linked = /^"?([0-9a-f]{64})"?$/.exec(response.headers.get('x-linked-etag') ?? '');
    sha256 ??= linked?.[1];
    const location = response.headers.get('location');
    if (response.status >= 300 && response.status < 400 && location !== null) {
      at = new URL(location, at).href;
      if (!/^https?:/.test(at)) throw new Hopeless('MODEL_FAILED', 'the server sends us to an address that is not http(s)');
      continue;
    }
    checkStatus(response.status);
    const size = sizeOf(response);
    if (size === null) throw new Hopeless('MODEL_FAILED', 'the server does not say how large the file is');
    if (size > maxBytes) {
      throw new Hopeless('TOO_LARGE', `the file has ${size} bytes, and ${maxBytes} are free for models`, {
        fix: 'delete models that nobody needs with `corpgrid models rm`, or give the grid more disk',
      });
    }
    // The address that a redirect led to may hold a token that ends soon, so each try starts at the given one.
    return { url, etag: response.headers.get('etag') ?? '', size, ...(sha256 === undefined ? {} : { sha256 }) };
  }
  throw new Hopeless('MODEL_FAILED', `the server redirects more than ${REDIRECTS} times`);
}

function checkStatus(status: number): void {
  if (status === 200 || status === 206) return;
  if (status === 429 || status >= 500) throw new Error(`the server answered ${status}`);
  throw new Hopeless('MODEL_FAILED', `the server answered ${status}`, {
    path: 'source',
    fix: status === 401 || status === 403 ? 'the file is not public; pull it by hand and give the local file' : 'check the address',
  });
}

function sizeOf(response: Response): number | null {
  const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1] ?? response.headers.get('content-length');
  const size = Number(total ?? Number.NaN);
  return Number.isSafeInteger(size) && size > 0 ? size : null;
}

async function isSame(part: string, remote: Remote): Promise<boolean> {
  const text = await readFile(note(part), 'utf8').catch(() => null);
  if (text === null) return false;
  const known = Remote.safeParse(JSON.parse(text));
  if (!known.success) return false;
  const { url, etag, size } = known.data;
  // Without an etag nobody can tell whether the rest belongs to what we have; the hash at the end would only say that late.
  return etag !== '' && etag === remote.etag && size === remote.size && url === remote.url;
}

/** Appends what is missing. */
async function goOn({ url, part, signal, after, onProgress }: Download, remote: Remote): Promise<void> {
  let received = await stat(part).then(
    (s) => s.size,
    () => 0,
  );
  onProgress(received, remote.size);
  if (received === remote.size) return;
  const stall = watchStall(after);
  const file = await open(part, 'a', 0o600);
  try {
    const response = await fetch(url, {
      headers: received === 0 ? {} : { range: `bytes=${received}-` },
      signal: AbortSignal.any([signal, stall.signal]),
    });
    checkStatus(response.status);
    if (received > 0 && response.status !== 206) {
      // This server cannot go on in the middle: from the beginning, then.
      await file.truncate(0);
      received = 0;
    }
    for await (const chunk of response.body ?? []) {
      stall.moved();
      received += chunk.length;
      if (received > remote.size) throw new Hopeless('MODEL_FAILED', 'the server sends more bytes than it announced');
      await file.writeFile(chunk);
      onProgress(received, remote.size);
    }
    if (received < remote.size) throw new Error('the connection ended too early');
    await file.sync();
  } finally {
    stall.end();
    await file.close();
  }
}

/** A signal that is aborted when nothing moved for too long. */
function watchStall(after: Download['after']): { readonly signal: AbortSignal; moved(): void; end(): void } {
  const stalled = new AbortController();
  const start = (): Cancellable => after(STALL_MS, () => stalled.abort(new Error(`nothing moved for ${STALL_MS} ms`)));
  let timer = start();
  return {
    signal: stalled.signal,
    moved() {
      timer.cancel();
      timer = start();
    },
    end: () => timer.cancel(),
  };
}

async function hashOf(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024, signal })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}
