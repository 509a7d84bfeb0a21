import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';

import { parseDocument } from 'yaml';

import { explainIssues } from '#actors/contract/explain.ts';
import { type FileShards, JobFile } from '#actors/contract/job-file.ts';
import { JobSpec, type Limits } from '#actors/contract/job-spec.ts';
import { MAX_INLINE_SHARDS, MIB, OBJECT_LIMIT, type ObjectRef } from '#actors/contract/primitives.ts';
import { MAX_MODULE_BYTES, validateModule } from '#actors/contract/wasm-module.ts';
import { GridError } from '#runtime/errors.ts';

import { type FoundFile, type Walk, walkFiles } from './walk-files.ts';

/** What the caller wants otherwise than the job file says. `root` is an absolute path. */
export interface PackOverrides {
  readonly name?: string;
  readonly quorum?: number;
  readonly root?: string;
}

/** An object of a job. `open` reads it anew each time and fails with CONFLICT when its files have changed since. */
export interface PackedObject {
  readonly ref: ObjectRef;
  open(): AsyncIterable<Uint8Array>;
}

export interface PackedJob {
  readonly spec: JobSpec;
  /** All objects that the spec names, each once. */
  readonly objects: readonly PackedObject[];
  /** How many files were packed as input, and their bytes with the newlines between them. */
  readonly files: number;
  readonly bytes: number;
  /** Files that matched and were not packed. */
  readonly leftOut: Walk['leftOut'];
}

const JOB_FILE_LIMIT = MIB;
const NEWLINE = new Uint8Array([10]);

/**
 * Reads a job file, checks its modules, packs its input files and answers what to upload and submit. Input is read twice,
 * now for its hash and when it is opened, and never held in memory. The same files give the same objects everywhere.
 *
 * Throws GridError: BAD_SPEC (with the field's path), BAD_BUNDLE (a module that no agent would run), TOO_LARGE,
 * NOT_FOUND, CONFLICT (a file changed meanwhile).
 */
export async function packJob(file: string, overrides: PackOverrides = {}): Promise<PackedJob> {
  const job = parseJobFile(await readBounded(file, JOB_FILE_LIMIT, 'the job file'));
  const folder = path.dirname(path.resolve(file));
  const objects = new Map<string, PackedObject>();
  const keep = (object: PackedObject): ObjectRef => {
    objects.set(object.ref.sha256, object);
    return object.ref;
  };
  const module = keep(await packModule(folder, job.module, 'module', job.limits));
  const merge = job.merge && {
    module: job.merge.module === undefined ? module : keep(await packModule(folder, job.merge.module, 'merge.module', job.limits)),
    args: job.merge.args,
  };
  const packed = await packShards(folder, job, overrides.root);
  const shards = packed.count === undefined ? { inputs: packed.inputs.map(keep) } : { count: packed.count };
  const name = overrides.name ?? job.name;
  const quorum = overrides.quorum ?? job.quorum;
  // Whoever asks for another quorum wants votes counted.
  const trust = overrides.quorum === undefined ? job.trust : undefined;
  const spec = checkSpec({ ...job, name, quorum, trust, module, merge, shards });
  const bytes = packed.inputs.reduce((total, { ref }) => total + ref.size, 0);
  return { spec, objects: [...objects.values()], files: packed.files, bytes, leftOut: packed.leftOut };
}

async function readBounded(file: string, limit: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
  const handle = await open(file).catch((error: unknown) => {
    throw new GridError('NOT_FOUND', `${what} ${file} cannot be read`, { cause: error, fix: 'check the path' });
  });
  try {
    const { size } = await handle.stat();
    if (size > limit) throw new GridError('TOO_LARGE', `${what} ${file} has ${size} bytes; the limit is ${limit}`);
    return new Uint8Array(await handle.readFile());
  } finally {
    await handle.close();
  }
}

/** JSON is YAML too, so one reader takes both. */
function parseJobFile(bytes: Uint8Array): JobFile {
  const document = parseDocument(new TextDecoder().decode(bytes));
  const [problem] = document.errors;
  if (problem) throw new GridError('BAD_SPEC', `the job file is not YAML or JSON: ${problem.message}`);
  const result = JobFile.safeParse(valueOf(document));
  if (result.success) return result.data;
  const { path: field, message } = explainIssues(result.error);
  throw new GridError('BAD_SPEC', field === '' ? message : `${field}: ${message}`, { path: field });
}

function valueOf(document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    throw new GridError('BAD_SPEC', `the job file cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checkSpec(spec: unknown): JobSpec {
  // What is undefined here was not in the file; the spec's schema gives it its default.
  const result = JobSpec.safeParse(spec);
  if (result.success) return result.data;
  const { path: field, message } = explainIssues(result.error);
  throw new GridError('BAD_SPEC', `${field}: ${message}`, { path: field });
}

async function packModule(folder: string, given: string, field: string, limits: Limits): Promise<PackedObject> {
  const bytes = await readBounded(path.resolve(folder, given), MAX_MODULE_BYTES, `the ${field}`).catch((error: unknown) => {
    if (error instanceof GridError)
      throw new GridError(error.code, error.message, { path: field, fix: 'paths are relative to the job file' });
    throw error;
  });
  const verdict = validateModule(bytes, limits);
  if (!verdict.ok) throw new GridError('BAD_BUNDLE', `${given}: ${verdict.reason}`, { path: field });
  return {
    ref: { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length },
    async *open() {
      yield bytes;
    },
  };
}

interface PackedShards {
  readonly count?: number;
  readonly inputs: readonly PackedObject[];
  readonly files: number;
  readonly leftOut: Walk['leftOut'];
}

async function packShards(folder: string, job: JobFile, root: string | undefined): Promise<PackedShards> {
  if ('files' in job.shards) return packFiles(root ?? path.resolve(folder, job.shards.files.root), job.shards.files);
  if (root !== undefined) {
    throw new GridError('BAD_SPEC', 'this job has a count of shards and no input files', { path: 'shards', fix: 'leave --root away' });
  }
  return { count: job.shards.count, inputs: [], files: 0, leftOut: [] };
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
  const packs = groupFiles(files, options.shardKiB * 1024);
  if (packs.length > MAX_INLINE_SHARDS) {
    const fix = `raise shards.files.shardKiB above ${Math.ceil((options.shardKiB * packs.length) / MAX_INLINE_SHARDS)}`;
    throw new GridError('BAD_SPEC', `these files make ${packs.length} shards; the limit is ${MAX_INLINE_SHARDS}`, {
      path: 'shards.files.shardKiB',
      fix,
    });
  }
  const inputs: PackedObject[] = [];
  for (const pack of packs) inputs.push(await packFileGroup(root, pack));
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

async function packFileGroup(root: string, group: readonly FoundFile[]): Promise<PackedObject> {
  const openGroup = (): AsyncIterable<Uint8Array> => readGroup(root, group);
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of openGroup()) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { ref: { sha256: hash.digest('hex'), size }, open: openGroup };
}

async function* readGroup(root: string, group: readonly FoundFile[]): AsyncGenerator<Uint8Array, void> {
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
    yield NEWLINE;
  }
}
