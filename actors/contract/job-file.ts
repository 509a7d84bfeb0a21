import { z } from 'zod';

import { CheckpointRule, DeadlineSeconds, Limits, MAX_NEEDS, Retry, Trust, View } from './job-spec.ts';
import { oneForm } from './one-form.ts';
import { ParameterGrid } from './parameter-grid.ts';
import { Label, MAX_SHARDS, OBJECT_LIMIT } from './primitives.ts';
import { Constraints, Resources, RunnableKind } from './requirements.ts';

/**
 * The file that people write for a job, in YAML or JSON. Its paths are relative to the file itself. The command line
 * packs what it names and submits the `JobSpec` that comes of it; what the two share means the same in both.
 */

/** Jobs in one file. */
const MOST_JOBS = 100;

const FilePath = z.string().min(1, 'expected a path, relative to the job file').max(4096);
const Argument = z
  .union([z.string().max(4096), z.number()], { error: 'expected text or a number (YAML wants quotes around braces: "{shard}")' })
  .transform(String);
const Arguments = z.array(Argument).max(64).default([]);
const Pattern = z.string().min(1).max(1000);

/** One shard for each pack of files: their bytes one after the other, each file followed by one newline. */
export const FileShards = z.strictObject({
  /** The folder whose files are packed, in byte order of their paths. Symbolic links are left out. */
  root: FilePath,
  /** Which files, as glob patterns for the path below the root. */
  include: z.array(Pattern).min(1).max(100).default(['**']),
  /** Which files not; a pattern that matches a folder leaves out all that is in it. */
  exclude: z.array(Pattern).max(100).default([]),
  /** A pack is closed before it would grow past this. A larger file is a pack by itself. */
  shardKiB: z
    .number()
    .int()
    .min(1)
    .max(OBJECT_LIMIT / 1024)
    .default(512),
  /** One shard for each file instead, with its bytes as they are. */
  each: z.boolean().default(false),
});
export type FileShards = z.infer<typeof FileShards>;

/** The name of a job in its file, or the id of one that the grid has. */
const NeededJob = z.string().min(1).max(120);

const Work = {
  kind: RunnableKind.default('wasm'),
  /** The WebAssembly module that every shard runs. */
  module: FilePath,
  args: Arguments,
  shards: oneForm(
    {
      count: z.strictObject({ count: z.number().int().min(1).max(MAX_SHARDS) }),
      files: z.strictObject({ files: FileShards }),
      /** One shard for each line of this file; the line is its standard input. */
      jsonl: z.strictObject({ jsonl: FilePath }),
      grid: z.strictObject({ grid: ParameterGrid }),
      outputsOf: z.strictObject({ outputsOf: NeededJob }),
    },
    'expected one of `count: 100`, `files: { root: ./texts }`, `jsonl: ./lines.jsonl`, `grid: { rate: [1, 2] }`, `outputsOf: other`',
  ),
  /** The shard that makes one result of all outputs. Its module is the job's unless it names another. */
  merge: z.strictObject({ module: FilePath.optional(), args: Arguments }).optional(),
  needs: z.array(NeededJob).max(MAX_NEEDS).optional(),
  limits: Limits.prefault({}),
  quorum: z.number().int().min(1).max(9).optional(),
  trust: Trust.optional(),
  maxFailures: z.number().int().min(1).max(100).optional(),
  retry: Retry.optional(),
  checkpoint: CheckpointRule.optional(),
  priority: z.number().int().min(-100).max(100).optional(),
  deadlineSeconds: DeadlineSeconds.optional(),
  tenant: Label.optional(),
  resources: Resources.optional(),
  constraints: Constraints.optional(),
  view: View.optional(),
};

const Version = z.literal(1, 'expected 1, the only version of job files');

/** A file with one job. */
export const JobFile = z.strictObject({ version: Version, name: Label, ...Work });
export type JobFile = z.infer<typeof JobFile>;

/** A file with several jobs, which may need each other by their names here. */
export const JobsFile = z.strictObject({
  version: Version,
  jobs: z
    .record(Label, z.strictObject({ name: Label.optional(), ...Work }))
    .refine((jobs) => Object.keys(jobs).length > 0, 'expected at least one job')
    .refine((jobs) => Object.keys(jobs).length <= MOST_JOBS, `expected at most ${MOST_JOBS} jobs`),
});
export type JobsFile = z.infer<typeof JobsFile>;
/** One job of a file of either sort. */
export type FileWork = JobsFile['jobs'][string];
