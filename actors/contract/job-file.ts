import { z } from 'zod';

import { Limits, Trust, View } from './job-spec.ts';
import { Label, MAX_SHARDS, OBJECT_LIMIT } from './primitives.ts';

/**
 * The file that people write for a job, in YAML or JSON. Its paths are relative to the file itself. The command line
 * packs what it names and submits the `JobSpec` that comes of it; what the two share means the same in both.
 */

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
});
export type FileShards = z.infer<typeof FileShards>;

export const JobFile = z.strictObject({
  version: z.literal(1, 'expected 1, the only version of job files'),
  name: Label,
  kind: z.literal('wasm').default('wasm'),
  /** The WebAssembly module that every shard runs. */
  module: FilePath,
  args: Arguments,
  shards: z.union([z.strictObject({ count: z.number().int().min(1).max(MAX_SHARDS) }), z.strictObject({ files: FileShards })], {
    error: 'expected either `count: 100` or `files: { root: ./texts }`',
  }),
  /** The shard that makes one result of all outputs. Its module is the job's unless it names another. */
  merge: z.strictObject({ module: FilePath.optional(), args: Arguments }).optional(),
  limits: Limits.prefault({}),
  quorum: z.number().int().min(1).max(9).optional(),
  trust: Trust.optional(),
  maxFailures: z.number().int().min(1).max(100).optional(),
  priority: z.number().int().min(-100).max(100).optional(),
  view: View.optional(),
});
export type JobFile = z.infer<typeof JobFile>;
