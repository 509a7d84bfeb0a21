import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { FileShards, FileWork } from '#actors/contract/job-file.ts';
import type { JobSpec } from '#actors/contract/job-spec.ts';
import { MAX_INLINE_SHARDS, OBJECT_LIMIT, type ObjectRef } from '#actors/contract/primitives.ts';
import { GridError } from '#runtime/errors.ts';

import { type FoundFile, type Walk, walkFiles } from './walk-files.ts';

const NEWLINE = new Uint8Array([10]);
const NOTHING = new Uint8Array();

/** An object of a job. `open` reads it anew each time and fails with CONFLICT when its files have changed since. */
export interface PackedObject {
  readonly ref: ObjectRef;
  open(): AsyncIterable<Uint8Array>;
}

export function bytesObject(bytes: Uint8Array): PackedObject {
  return {
    ref: { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length },
    async *open() {
      yield bytes;
    },
  };
}

export interface PackedShards {
  /** What the spec says of them, when they have no inputs of their own. */
  readonly shards?: JobSpec['shards'];
  readonly inputs: readonly PackedObject[];
  readonly files: number;
  readonly leftOut: Walk['leftOut'];
}

/** What a job file says of its shards, as objects to upload. `outputsOf` is the id of the job that is meant. */
export async function packShards(folder: string, shards: FileWork['shards'], { root, outputsOf }: Places): Promise<PackedShards> {
  if ('files' in shards) return packFiles(root ?? path.resolve(folder, shards.files.root), shards.files);
  if (root !== undefined)
    throw new GridError('BAD_SPEC', 'this job has no folder of input files', { path: 'shards', fix: 'leave --root away' });
  if ('jsonl' in shards) return packLines(path.resolve(folder, shards.jsonl));
  const own = 'outputsOf' in shards ? { outputsOf: outputsOf(shards.outputsOf) } : shards;
  return { shards: own, inputs: [], files: 0, leftOut: [] };
}

export interface Places {
  /** Another folder of input files than the job file's; absolute. */
  readonly root: string | undefined;
  readonly outputsOf: (name: string) => string;
}

/** One object for each line that is not blank. */
async function packLines(file: string): Promise<PackedShards> {
  const at = { path: 'shards.jsonl' };
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new GridError('NOT_FOUND', `shards.jsonl: ${file} cannot be read`, {
      ...at,
      fix: 'paths are relative to the job file',
      cause: error,
    });
  });
  const inputs: PackedObject[] = [];
  for (const [n, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    if (!isJson(line))
      throw new GridError('BAD_SPEC', `shards.jsonl: line ${n + 1} of ${file} is not JSON`, { ...at, fix: 'one JSON value a line' });
    inputs.push(bytesObject(Buffer.from(line)));
  }
  if (inputs.length === 0 || inputs.length > MAX_INLINE_SHARDS) {
    const fix = inputs.length === 0 ? 'one line for each shard' : 'give each line more work, or cut the file into several jobs';
    throw new GridError('BAD_SPEC', `shards.jsonl: ${file} has ${inputs.length} lines; 1 to ${MAX_INLINE_SHARDS} are allowed`, {
      ...at,
      fix,
    });
  }
  return { inputs, files: 1, leftOut: [] };
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

async function packFiles(root: string, options: FileShards): Promise<PackedShards> {
  const { files, leftOut } = await walkFiles(root, options.include, options.exclude).catch((error: unknown) => {
    throw new GridError('NOT_FOUND', `the folder ${root} cannot be read`, {
      path: 'shards.files.root',
      fix: 'check the path',
      cause: error,
    });
  });
  if (files.length === 0) {
    throw new GridError('BAD_SPEC', `no file below ${root} matches ${options.include.join(', ')}`, { path: 'shards.files.include' });
  }
  const large = files.find(({ size }) => size + 1 > OBJECT_LIMIT);
  if (large)
    throw new GridError('TOO_LARGE', `${large.path} has ${large.size} bytes; the limit of a shard is ${OBJECT_LIMIT - 1}`, {
      path: 'shards.files',
    });
  const packs = options.each ? files.map((file) => [file]) : groupFiles(files, options.shardKiB * 1024);
  if (packs.length > MAX_INLINE_SHARDS) {
    const fix = options.each
      ? 'leave shards.files.each away: then small files share a shard'
      : `raise shards.files.shardKiB above ${Math.ceil((options.shardKiB * packs.length) / MAX_INLINE_SHARDS)}`;
    throw new GridError('BAD_SPEC', `these files make ${packs.length} shards; the limit is ${MAX_INLINE_SHARDS}`, {
      path: 'shards.files.shardKiB',
      fix,
    });
  }
  const inputs: PackedObject[] = [];
  for (const pack of packs) inputs.push(await packFileGroup(root, pack, options.each ? NOTHING : NEWLINE));
  return { inputs, files: files.length, leftOut };
}

/** Cuts the list where the next file would not fit. */
function groupFiles(files: readonly FoundFile[], limit: number): FoundFile[][] {
  const packs: FoundFile[][] = [];
  let room = 0;
  for (const file of files) {
    const size = file.size + NEWLINE.length;
    const current = packs.at(-1);
    if (current === undefined || size > room) {
      packs.push([file]);
      room = limit - size;
    } else {
      current.push(file);
      room -= size;
    }
  }
  return packs;
}

async function packFileGroup(root: string, group: readonly FoundFile[], end: Uint8Array): Promise<PackedObject> {
  const openGroup = (): AsyncIterable<Uint8Array> => readGroup(root, group, end);
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of openGroup()) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { ref: { sha256: hash.digest('hex'), size }, open: openGroup };
}

async function* readGroup(root: string, group: readonly FoundFile[], end: Uint8Array): AsyncGenerator<Uint8Array, void> {
  for (const file of group) {
    let read = 0;
    for await (const chunk of createReadStream(path.join(root, file.path), { highWaterMark: 256 * 1024 })) {
      read += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
    if (read !== file.size) {
      throw new GridError('CONFLICT', `${file.path} changed while it was packed`, {
        path: 'shards.files',
        fix: 'submit again when nothing writes there',
      });
    }
    yield end;
  }
}
