import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

import { z } from 'zod';

import type { ModelDelivery } from '#actors/contract/agent-link.ts';
import { Label, Sha256 } from '#actors/contract/primitives.ts';
import { appendObject } from '#agent/bundle/fetch-object.ts';
import { expectOk, persist, type Transfer, TransferError } from '#agent/bundle/transfer.ts';
import { inspectModelFile, type ModelFile } from '#agent/executors/inference/model-file.ts';

import type { OfferedModel } from './models.actor.ts';

/** Must be the grid's: it made the hashes. */
const CHUNK_BYTES = 8 * 1024 * 1024;
const HASH_BYTES = 32;
/** A chunk that arrives wrong this often is wrong at its source. */
const SPOILT_TRIES = 3;

/** Kept beside each file, so that an unchanged one is not read again at every start. */
const Note = z.object({
  name: Label,
  contextSize: z.number().int().positive(),
  file: z.object({ path: z.string(), size: z.number(), sha256: Sha256, identity: z.string(), header: z.record(z.string(), z.unknown()) }),
});

export interface ModelFilesOptions {
  readonly folder: string;
  /** All fetched files together take no more. */
  readonly quotaBytes: number;
  /** Files that must not be deleted now, by hash. */
  readonly inUse: () => ReadonlySet<string>;
}

/** Model files that the grid gave this machine: fetched once, checked by chunk and whole, deleted when others need the room. */
export class ModelFiles {
  readonly #options: ModelFilesOptions;

  constructor(options: ModelFilesOptions) {
    this.#options = options;
  }

  /** What was fetched before and is still as it was. */
  async list(): Promise<OfferedModel[]> {
    const names = await readdir(this.#options.folder).catch(() => []);
    const found: OfferedModel[] = [];
    for (const name of names.filter((n) => n.endsWith('.json')).sort()) {
      const note = Note.safeParse(parseJson(await readFile(path.join(this.#options.folder, name), 'utf8')));
      if (!note.success) continue;
      const known = note.data.file as unknown as ModelFile;
      const file = await inspectModelFile(known.path, known).catch(() => null);
      // Somebody put other bytes there: whatever they are, they are not what the grid gave.
      if (file === null || file.sha256 !== known.sha256) await this.#delete(known.sha256);
      else found.push({ name: note.data.name, contextSize: note.data.contextSize, file });
    }
    return found;
  }

  /**
   * Brings a file here, from where an earlier try broke.
   *
   * @throws TransferError when there is no room, or when the bytes are not those that were promised
   */
  async fetch(
    name: string,
    sha256: string,
    order: ModelDelivery,
    transfer: Transfer,
    onProgress: (received: number) => void,
  ): Promise<OfferedModel> {
    const { folder } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const target = path.join(folder, `${sha256}.gguf`);
    const part = `${target}.part`;
    await this.#makeRoom(order.size - (await sizeOf(part)), sha256);
    const hashes = await fetchHashes(order, `${part}.hashes`, transfer);
    await fetchChunks(order, { part, hashes, what: `model ${name}` }, transfer, onProgress);
    await rename(part, target);
    const file = await inspectModelFile(target, undefined, transfer.signal).catch(async (error: unknown) => {
      await rm(target, { force: true });
      throw error;
    });
    if (file.sha256 !== sha256 || file.size !== order.size) {
      await rm(target, { force: true });
      throw new TransferError(`model ${name} has other bytes than promised`);
    }
    const model = { name, contextSize: order.contextSize, file };
    await writeFile(path.join(folder, `${sha256}.json`), JSON.stringify(model), { mode: 0o600 });
    return model;
  }

  /** Puts the file at the end of those that may be deleted. */
  async used(sha256: string, now: Date): Promise<void> {
    await utimes(path.join(this.#options.folder, `${sha256}.json`), now, now).catch(() => {});
  }

  /** Deletes what was used longest ago until so many bytes more have room. */
  async #makeRoom(bytes: number, keep: string): Promise<void> {
    const { folder, quotaBytes, inUse } = this.#options;
    const files: { sha256: string; size: number; usedAt: number }[] = [];
    let taken = 0;
    for (const entry of await readdir(folder)) {
      if (!entry.endsWith('.gguf') && !entry.endsWith('.part')) continue;
      const sha256 = entry.slice(0, 64);
      const size = await sizeOf(path.join(folder, entry));
      taken += size;
      // The note is touched at each use, and never the file: that would look like a change.
      const usedAt = await stat(path.join(folder, `${sha256}.json`)).then(
        (s) => s.mtimeMs,
        () => 0,
      );
      files.push({ sha256, size, usedAt });
    }
    const busy = inUse();
    const idle = files.filter((f) => f.sha256 !== keep && !busy.has(f.sha256)).sort((a, b) => a.usedAt - b.usedAt);
    const reclaimable = idle.reduce((sum, f) => sum + f.size, 0);
    // Refused before anything is deleted: room for half a model helps nobody.
    if (taken - reclaimable + bytes > quotaBytes)
      throw new TransferError(`no room: ${bytes} bytes more are needed, and --models-disk allows ${quotaBytes} in all`);
    for (const { sha256, size } of idle) {
      if (taken + bytes <= quotaBytes) return;
      await this.#delete(sha256);
      taken -= size;
    }
  }

  async #delete(sha256: string): Promise<void> {
    for (const ending of ['json', 'gguf', 'gguf.part', 'gguf.part.hashes'])
      await rm(path.join(this.#options.folder, `${sha256}.${ending}`), { force: true });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    (s) => s.size,
    () => 0,
  );
}

async function fetchHashes({ chunks, size }: ModelDelivery, file: string, transfer: Transfer): Promise<Uint8Array> {
  if (chunks.size !== Math.ceil(size / CHUNK_BYTES) * HASH_BYTES) throw new TransferError('the list of chunk hashes does not fit the file');
  await rm(file, { force: true });
  const handle = await open(file, 'wx', 0o600);
  try {
    await appendObject(chunks, handle, transfer);
  } finally {
    await handle.close();
  }
  const hashes = await readFile(file);
  await rm(file, { force: true });
  return hashes;
}

interface Target {
  readonly part: string;
  readonly hashes: Uint8Array;
  readonly what: string;
}

/** Appends chunk by chunk; only whole, checked chunks stay in the file. */
async function fetchChunks(
  order: ModelDelivery,
  target: Target,
  transfer: Transfer,
  onProgress: (received: number) => void,
): Promise<void> {
  const file = await open(target.part, 'a', 0o600);
  try {
    let spoilt = 0;
    const before = await sizeOf(target.part);
    let received = before === order.size ? before : before - (before % CHUNK_BYTES);
    await file.truncate(received);
    onProgress(received);
    await persist(transfer, async ({ signal, moved }) => {
      if (received === order.size) return;
      const response = await fetch(new URL(order.get.url, transfer.gridUrl), {
        method: order.get.method,
        headers: { ...order.get.headers, range: `bytes=${received}-` },
        signal,
      });
      await expectOk(response, target.what);
      if (response.status !== 206 && received > 0) {
        await response.body?.cancel();
        throw new TransferError(`${target.what}: the store does not continue a broken download`);
      }
      try {
        for await (const chunk of wholeChunks(response.body ?? [], moved)) {
          if (received >= order.size || !isWanted(chunk, target.hashes, received)) {
            spoilt += 1;
            const message = `${target.what}: the chunk at byte ${received} is not what was promised`;
            throw spoilt < SPOILT_TRIES ? new Error(message) : new TransferError(message);
          }
          await write(file, chunk);
          received += chunk.length;
          onProgress(received);
        }
      } finally {
        await response.body?.cancel().catch(() => {});
      }
      if (received < order.size) throw new Error(`${target.what}: the connection ended too early`);
    });
    await file.sync();
  } finally {
    await file.close();
  }
}

async function write(file: FileHandle, chunk: Uint8Array): Promise<void> {
  await file.writeFile(chunk).catch((cause: unknown) => {
    throw new TransferError('the model cannot be written', { cause });
  });
}

function isWanted(chunk: Uint8Array, hashes: Uint8Array, at: number): boolean {
  const from = (at / CHUNK_BYTES) * HASH_BYTES;
  return createHash('sha256')
    .update(chunk)
    .digest()
    .equals(hashes.subarray(from, from + HASH_BYTES));
}

/** Cuts a stream into chunks; the last one may be shorter. */
async function* wholeChunks(stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, moved: () => void): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of stream) {
    moved();
    let rest = piece;
    while (length + rest.length >= CHUNK_BYTES) {
      const head = rest.subarray(0, CHUNK_BYTES - length);
      yield Buffer.concat([...pieces, head]);
      rest = rest.subarray(head.length);
      pieces = [];
      length = 0;
    }
    if (rest.length > 0) pieces.push(rest);
    length += rest.length;
  }
  if (length > 0) yield Buffer.concat(pieces);
}
