import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';

import { GridError } from '#runtime/errors.ts';
import type { Clock } from '#runtime/kernel/host.ts';

import { boundsOf, checkedName, checkExpectation, checkPromise, tooLarge } from './expectation.ts';
import { createObjectHandler } from './object-handler.ts';
import type { ObjectRef, Objects } from './objects.ts';
import { createUrlSigner } from './signed-url.ts';

/**
 * Objects as files: the store of a grid that has no S3. One process at a time opens a folder.
 *
 *   tmp/<random>              an upload on its way; whatever lies here when the store opens belongs to a process that died
 *   sha256/<2 digits>/<62>    a stored object, spread over 256 folders that exist from the start
 *
 * An upload is hashed while it streams into `tmp`, synced, and only then linked to its name. `link` is atomic and fails when the
 * name is there (`rename` would overwrite), so of any number of racing uploads one is kept, and no reader ever sees half an
 * object. The folder is synced before anybody is told.
 */

export interface DiskObjectsOptions {
  /** Made when it is missing. The file system must know hard links. */
  readonly folder: string;
  /** Signs addresses: at least 32 bytes, the same after every restart. */
  readonly secret: Uint8Array;
  /**
   * Where `handle` is reached, like `http://grid.example:8080`; empty for addresses relative to whatever the reader calls the
   * server. Asked for each address, since a server knows its port late.
   */
  readonly baseUrl: () => string;
  readonly clock: Clock;
  /** Told about failures that are nobody's fault but ours, such as a disk that cannot be read. Callers just see INTERNAL. */
  readonly onDefect: (error: unknown) => void;
  /** Bytes of the largest object: 4 GiB unless told otherwise. */
  readonly maxSize?: number;
}

export interface DiskObjects extends Objects {
  /** Serves the signed addresses (`/objects/...`): PUT, GET with ranges, HEAD. Answers every request and never rejects. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

const FOUR_GIB = 4 * 1024 ** 3;

/** Opens the folder, makes what is missing in it and removes what interrupted uploads left behind. */
export async function openDiskObjects({
  folder,
  secret,
  baseUrl,
  clock,
  onDefect,
  maxSize = FOUR_GIB,
}: DiskObjectsOptions): Promise<DiskObjects> {
  const signer = createUrlSigner({ secret, baseUrl, clock });
  const uploads = join(folder, 'tmp');
  const stored = join(folder, 'sha256');
  await prepare(folder, uploads, stored);

  const folderOf = (sha256: string): string => join(stored, checkedName(sha256).slice(0, 2));
  const fileOf = (sha256: string): string => join(folderOf(sha256), sha256.slice(2));

  async function store(
    source: AsyncIterable<Uint8Array> | Uint8Array,
    expected: Partial<ObjectRef> = {},
  ): Promise<{ ref: ObjectRef; existed: boolean }> {
    checkExpectation(expected, maxSize);
    const temporary = join(uploads, randomUUID());
    try {
      const ref = await writeSynced(temporary, source, expected, Math.min(expected.size ?? maxSize, maxSize));
      const existed = !(await linkOnce(temporary, fileOf(ref.sha256)));
      // Also when it existed: the upload that was first may not have got this far yet.
      await syncFolder(folderOf(ref.sha256));
      return { ref, existed };
    } catch (error) {
      throw explained(error, folder);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  const objects: Objects = {
    put: async (source, expected) => (await store(source, expected)).ref,

    async open(sha256, range) {
      const file = await openToRead(fileOf(sha256));
      if (file === null) return null;
      try {
        const { size } = await file.stat();
        const bounds = range === undefined ? {} : boundsOf(range, size);
        return { size, stream: file.createReadStream(bounds) };
      } catch (error) {
        await file.close();
        throw error;
      }
    },

    async head(sha256) {
      try {
        const { size } = await stat(fileOf(sha256));
        return { sha256, size };
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },

    async verify(sha256) {
      const file = await openToRead(fileOf(sha256));
      if (file === null) return false;
      const hash = createHash('sha256');
      for await (const chunk of file.createReadStream()) hash.update(chunk as Buffer);
      return hash.digest('hex') === sha256;
    },

    async delete(sha256) {
      try {
        await rm(fileOf(sha256));
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
      await syncFolder(folderOf(sha256));
      return true;
    },

    async *list() {
      for (const prefix of await readdir(stored)) {
        for (const rest of await readdir(join(stored, prefix))) {
          const ref = await objects.head(prefix + rest);
          if (ref !== null) yield ref;
        }
      }
    },

    async endUploads(before) {
      let ended = 0;
      for (const name of await readdir(uploads)) {
        const file = join(uploads, name);
        const found = await stat(file).catch((error: unknown) => (isMissing(error) ? null : Promise.reject(error as Error)));
        if (found === null || found.mtimeMs >= before) continue;
        await rm(file, { force: true });
        ended += 1;
      }
      return ended;
    },

    presignPut: async (ref, ttlSeconds) => signer.sign('PUT', ref, ttlSeconds),
    presignGet: async (ref, ttlSeconds) => signer.sign('GET', ref, ttlSeconds),
  };

  return { ...objects, handle: createObjectHandler({ objects, store, signer, onDefect }) };
}

/** Makes all folders at once, so that no upload ever has to sync a folder's parent. */
async function prepare(folder: string, uploads: string, stored: string): Promise<void> {
  await mkdir(uploads, { recursive: true, mode: 0o700 });
  await mkdir(stored, { recursive: true, mode: 0o700 });
  const present = new Set(await readdir(stored));
  for (let i = 0; i < 256; i++) {
    const name = i.toString(16).padStart(2, '0');
    if (!present.has(name)) await mkdir(join(stored, name), { mode: 0o700 });
  }
  for (const path of [stored, folder]) await syncFolder(path);
  for (const leftover of await readdir(uploads)) await rm(join(uploads, leftover), { force: true, recursive: true });
}

/** Streams into a new file; synced to the disk when this returns. Every other end is an exception. */
async function writeSynced(
  path: string,
  source: AsyncIterable<Uint8Array> | Uint8Array,
  expected: Partial<ObjectRef>,
  limit: number,
): Promise<ObjectRef> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    const hash = createHash('sha256');
    let size = 0;
    for await (const chunk of source instanceof Uint8Array ? [source] : source) {
      size += chunk.length;
      if (size > limit) throw tooLarge(limit);
      hash.update(chunk);
      // Not write(): that one may take a part of the chunk.
      await file.writeFile(chunk);
    }
    const ref = { sha256: hash.digest('hex'), size };
    checkPromise(ref, expected);
    await file.sync();
    return ref;
  } finally {
    await file.close();
  }
}

/** False when the name was there already. */
async function linkOnce(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function openToRead(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, constants.O_RDONLY);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

/** Makes new and removed names durable. Windows cannot sync a folder and does not need to. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A full disk is no defect of the program. */
function explained(error: unknown, folder: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new GridError('UNREACHABLE', 'the object store has no space left', { fix: `Free disk space below ${folder}.`, cause: error });
}
