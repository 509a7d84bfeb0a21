import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { openAsBlob } from 'node:fs';
import { access, open, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

import type { Body, SignedRequest } from '#actors/contract/primitives.ts';

/** How an agent reaches objects: addresses may be relative to its grid. */
export interface Transfer {
  readonly gridUrl: string;
  readonly signal: AbortSignal;
}

/** The bytes were not the ones that were promised, or could not be had. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
}

async function* chunksOf(body: Body, { gridUrl, signal }: Transfer): AsyncGenerator<Uint8Array> {
  if (body.bytes !== undefined) {
    yield body.bytes;
    return;
  }
  if (body.get === undefined) throw new TransferError(`object ${body.sha256} came without bytes and without an address`);
  const { method, url, headers } = body.get;
  const response = await fetch(new URL(url, gridUrl), { method, headers, signal });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new TransferError(`object ${body.sha256}: the store answered ${response.status}`);
  }
  yield* response.body;
}

/** Appends an object to an open file. Size and hash are checked while it streams; too many bytes end it at once. */
export async function appendObject(body: Body, file: FileHandle, transfer: Transfer): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of chunksOf(body, transfer)) {
    size += chunk.length;
    if (size > body.size) throw new TransferError(`object ${body.sha256} is larger than the ${body.size} bytes promised`);
    hash.update(chunk);
    await file.writeFile(chunk);
  }
  if (size !== body.size || hash.digest('hex') !== body.sha256) {
    throw new TransferError(`object ${body.sha256} has other bytes than promised (${size} of ${body.size})`);
  }
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

/** Carries out an upload that the grid signed. */
export async function uploadFile(file: string, put: SignedRequest, { gridUrl, signal }: Transfer): Promise<void> {
  const response = await fetch(new URL(put.url, gridUrl), {
    method: put.method,
    headers: put.headers,
    body: await openAsBlob(file),
    signal,
  });
  await response.body?.cancel();
  if (!response.ok) throw new TransferError(`the store refused the output: ${response.status}`);
}
