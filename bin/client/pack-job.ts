import { open } from 'node:fs/promises';
import path from 'node:path';

import { parseDocument } from 'yaml';

import { explainIssues } from '#actors/contract/explain.ts';
import { type FileWork, JobFile, JobsFile } from '#actors/contract/job-file.ts';
import { JobSpec, type Limits } from '#actors/contract/job-spec.ts';
import { JobId, MIB, type ObjectRef } from '#actors/contract/primitives.ts';
import { MAX_MODULE_BYTES, validateModule } from '#actors/contract/wasm-module.ts';
import { GridError } from '#runtime/errors.ts';

import { bytesObject, packShards, type PackedObject } from './pack-shards.ts';
import type { Walk } from './walk-files.ts';

/** What the caller wants otherwise than the job file says. `root` is an absolute path. */
export interface PackOverrides {
  readonly name?: string;
  readonly quorum?: number;
  readonly root?: string;
}

export interface PackedJob {
  readonly id: string;
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
const SEE = 'docs/job-spec.md says what each field takes';

/**
 * Reads a job file, checks its modules, packs its input files and answers what to upload and submit. Input is read twice,
 * now for its hash and when it is opened, and never held in memory. The same files give the same objects everywhere.
 *
 * A file with several jobs gives them in an order in which each comes after those that it needs. `newId` makes their ids.
 *
 * Throws GridError: BAD_SPEC (with the field's path), BAD_BUNDLE (a module that no agent would run), TOO_LARGE,
 * NOT_FOUND, CONFLICT (a file changed meanwhile).
 */
export async function packJobs(file: string, newId: () => string, overrides: PackOverrides = {}): Promise<readonly PackedJob[]> {
  const parsed = parseJobFile(await readBounded(file, JOB_FILE_LIMIT, 'the job file'));
  const folder = path.dirname(path.resolve(file));
  if (!('jobs' in parsed)) return [await packJob(folder, parsed, { id: newId(), idOf: jobIdAt, overrides })];
  for (const [option, value] of Object.entries({ name: overrides.name, root: overrides.root })) {
    if (value !== undefined)
      throw new GridError('BAD_SPEC', `--${option} is for files with one job`, { path: 'jobs', fix: `leave --${option} away` });
  }
  const ids = new Map(Object.keys(parsed.jobs).map((key) => [key, newId()]));
  const packed: PackedJob[] = [];
  for (const key of inOrder(parsed)) {
    const work = parsed.jobs[key];
    const id = ids.get(key);
    if (work === undefined || id === undefined) continue;
    const idOf = (other: string, at: string): string => ids.get(other) ?? jobIdAt(other, at);
    const job = { ...work, version: parsed.version, name: work.name ?? key };
    packed.push(await within(`jobs.${key}`, () => packJob(folder, job, { id, idOf, overrides })));
  }
  return packed;
}

/** A name that is none of the file's must be the id of a job that the grid has. */
function jobIdAt(text: string, at: string): string {
  if (JobId.safeParse(text).success) return text;
  throw new GridError('BAD_SPEC', `${at}: there is no job ${text} in this file, and it is no job id`, {
    path: at,
    fix: 'name a job of this file, or give the id that `corpgrid jobs` shows',
  });
}

function namedBy({ needs = [], shards }: FileWork): string[] {
  return [...needs, ...('outputsOf' in shards ? [shards.outputsOf] : [])];
}

/** Each after those that it needs. */
function inOrder({ jobs }: JobsFile): string[] {
  const done = new Set<string>();
  const visit = (key: string, above: readonly string[]): void => {
    const work = jobs[key];
    if (work === undefined || done.has(key)) return;
    if (above.includes(key)) {
      const circle = [...above.slice(above.indexOf(key)), key].join(' needs ');
      throw new GridError('BAD_SPEC', `jobs.${key}.needs: ${circle}: none of them could begin`, {
        path: `jobs.${key}.needs`,
        fix: 'break the circle',
      });
    }
    for (const other of namedBy(work)) visit(other, [...above, key]);
    done.add(key);
  };
  for (const key of Object.keys(jobs)) visit(key, []);
  return [...done];
}

/** Failures say which job of the file they are about. */
async function within<T>(prefix: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof GridError) || error.path === undefined) throw error;
    const options = { path: `${prefix}.${error.path}`, cause: error, ...(error.fix === undefined ? {} : { fix: error.fix }) };
    throw new GridError(error.code, `${prefix}: ${error.message}`, options);
  }
}

interface Packing {
  readonly id: string;
  readonly idOf: (name: string, at: string) => string;
  readonly overrides: PackOverrides;
}

async function packJob(folder: string, job: JobFile, { id, idOf, overrides }: Packing): Promise<PackedJob> {
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
  const places = { root: overrides.root, outputsOf: (name: string) => idOf(name, 'shards.outputsOf') };
  const packed = await packShards(folder, job.shards, places);
  const shards = packed.shards ?? { inputs: packed.inputs.map(keep) };
  const needs = job.needs?.map((name, n) => idOf(name, `needs[${n}]`));
  const name = overrides.name ?? job.name;
  const quorum = overrides.quorum ?? job.quorum;
  // Whoever asks for another quorum wants votes counted.
  const trust = overrides.quorum === undefined ? job.trust : undefined;
  const spec = checkSpec({ ...job, name, quorum, trust, module, merge, shards, needs });
  const bytes = packed.inputs.reduce((total, { ref }) => total + ref.size, 0);
  return { id, spec, objects: [...objects.values()], files: packed.files, bytes, leftOut: packed.leftOut };
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
function parseJobFile(bytes: Uint8Array): JobFile | JobsFile {
  const document = parseDocument(new TextDecoder().decode(bytes));
  const [problem] = document.errors;
  if (problem) throw new GridError('BAD_SPEC', `the job file is not YAML or JSON: ${problem.message}`, { fix: SEE });
  const value = valueOf(document);
  const hasMany = typeof value === 'object' && value !== null && 'jobs' in value;
  const result = (hasMany ? JobsFile : JobFile).safeParse(value);
  if (result.success) return result.data;
  const { path: field, message } = explainIssues(result.error);
  throw new GridError('BAD_SPEC', field === '' ? message : `${field}: ${message}`, { path: field, fix: SEE });
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
  throw new GridError('BAD_SPEC', `${field}: ${message}`, { path: field, fix: SEE });
}

async function packModule(folder: string, given: string, field: string, limits: Limits): Promise<PackedObject> {
  const bytes = await readBounded(path.resolve(folder, given), MAX_MODULE_BYTES, `the ${field}`).catch((error: unknown) => {
    if (error instanceof GridError)
      throw new GridError(error.code, error.message, { path: field, fix: 'paths are relative to the job file' });
    throw error;
  });
  const verdict = validateModule(bytes, limits);
  if (!verdict.ok) throw new GridError('BAD_BUNDLE', `${given}: ${verdict.reason}`, { path: field });
  return bytesObject(bytes);
}
