import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { ReadableStream } from 'node:stream/web';

import type { Body, SignedRequest } from '#actors/contract/primitives.ts';

import { expectOk, persist, type Transfer, TransferError } from './transfer.ts';

/** Appends an object to an open file. Size and hash are checked while it streams; too many bytes end it at once. */
export async function appendObject(body: Body, file: FileHandle, transfer: Transfer): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  async function take(chunk: Uint8Array): Promise<void> {
    size += chunk.length;
    if (size > body.size) throw new TransferError(`object ${body.sha256} is larger than the ${body.size} bytes promised`);
    hash.update(chunk);
    // Half a chunk may be in the file now, so no later try can go on from here.
    await file.writeFile(chunk).catch((cause: unknown) => {
      throw new TransferError(`object ${body.sha256} cannot be written`, { cause });
    });
  }

  if (body.bytes !== undefined) await take(body.bytes);
  else if (body.get === undefined) throw new TransferError(`object ${body.sha256} came without bytes and without an address`);
  else await download(body.get, `object ${body.sha256}`, { transfer, received: () => size, take });
  if (size !== body.size || hash.digest('hex') !== body.sha256) {
    throw new TransferError(`object ${body.sha256} has other bytes than promised (${size} of ${body.size})`);
  }
}

interface Sink {
  readonly transfer: Transfer;
  readonly received: () => number;
  readonly take: (chunk: Uint8Array) => Promise<void>;
}

/** A line that broke in the middle is taken up again where it broke. */
async function download({ method, url, headers }: SignedRequest, what: string, { transfer, received, take }: Sink): Promise<void> {
  await persist(transfer, async ({ signal, moved }) => {
    const from = received();
    const range: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
    const response = await fetch(new URL(url, transfer.gridUrl), { method, headers: { ...headers, ...range }, signal });
    // It broke after the last byte: there is nothing left to ask for.
    if (from > 0 && response.status === 416) {
      await response.body?.cancel();
      return;
    }
    await expectOk(response, what);
    if (from > 0 && response.status !== 206) {
      await response.body?.cancel();
      throw new TransferError(`${what}: the store does not continue a broken download`);
    }
    for await (const chunk of response.body ?? []) {
      moved();
      await take(chunk);
    }
  });
}

/** The path of a verified copy in the cache. A cached file is hashed again before it is used: disks rot, people edit. */
export async function cachedObject(body: Body, cacheFolder: string, transfer: Transfer): Promise<string> {
  const file = path.join(cacheFolder, body.sha256);
  const there = await access(file).then(
    () => true,
    () => false,
  );
  if (there) {
    if ((await hashFile(file)) === body.sha256) return file;
    await rm(file, { force: true });
  }
  // Two attempts may fetch the same module at once: each writes its own file, the last rename wins with equal bytes.
  const temporary = `${file}.${process.hrtime.bigint()}`;
  const handle = await open(temporary, 'wx', 0o600);
  try {
    await appendObject(body, handle, transfer);
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true });
    throw error;
  }
  await handle.close();
  await rename(temporary, file);
  return file;
}

export async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

/** Carries out an upload that the grid signed. The store takes the same object any number of times. */
export async function uploadFile(file: string, put: SignedRequest, transfer: Transfer): Promise<void> {
  const { size } = await stat(file);
  await persist(transfer, async ({ signal, moved }) => {
    const headers = { ...put.headers, 'content-length': String(size) };
    const body = ReadableStream.from(readMoving(file, moved));
    const response = await fetch(new URL(put.url, transfer.gridUrl), { method: put.method, headers, body, duplex: 'half', signal });
    await expectOk(response, 'upload of the output');
    await response.body?.cancel();
  });
}

async function* readMoving(file: string, moved: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of createReadStream(file)) {
    moved();
    yield chunk as Uint8Array;
  }
}
