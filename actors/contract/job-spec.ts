import { z } from 'zod';

import { Label, MAX_INLINE_SHARDS, MAX_SHARDS, ObjectRef } from './primitives.ts';
import { Constraints, Resources } from './requirements.ts';

/**
 * What a job is, as it crosses the wire: every file is already an object in the store.
 * People write the friendlier job file (`job-file.ts`); the CLI packs its files and sends this.
 *
 * Arguments may hold `{shard}` and `{shards}`: the shard's index, from 0, and their number.
 */

const Argument = z.string().max(4096);

export const Limits = z.strictObject({
  /** Linear memory that the module may grow to. */
  memoryMiB: z.number().int().min(1).max(4096).default(256),
  /** Wall time of one attempt. Running out of it is a failed attempt, never a result. */
  timeoutSeconds: z
    .number()
    .int()
    .min(1)
    .max(24 * 3600)
    .default(300),
  outputMiB: z.number().int().min(1).max(1024).default(64),
});
export type Limits = z.infer<typeof Limits>;

/** Map shards: a plain count, or one shard for each input object (its bytes are the module's standard input). */
export const Shards = z.union([
  z.strictObject({ count: z.number().int().min(1).max(MAX_SHARDS) }),
  z.strictObject({ inputs: z.array(ObjectRef).min(1).max(MAX_INLINE_SHARDS) }),
]);

/**
 * One more shard that runs when every map shard is provisionally accepted. Its standard input is all their outputs in
 * shard order, each preceded by its length (unsigned 32-bit, little-endian). Its output is the job's result.
 */
export const Merge = z.strictObject({ module: ObjectRef, args: z.array(Argument).max(64).default([]) });

/** How a person may look at the outputs while they appear. */
export const View = z.strictObject({
  kind: z.literal('tiles'),
  /** Picture size in pixels; shard i paints tile (i % columns, floor(i / columns)) as 8-bit RGB rows. */
  width: z.number().int().min(1).max(16384),
  height: z.number().int().min(1).max(16384),
  tile: z.number().int().min(1).max(4096),
});
export type View = z.infer<typeof View>;

/**
 * When a shard is believed. `maxError`: the most that an accepted result may be wrong with, by the grid's belief in the
 * devices that computed it; a shard runs as often as that takes, once on devices that have earned it. `quorum`: so many
 * equal votes of different devices, whatever is known of them.
 */
export const Trust = z.union([
  z.strictObject({ maxError: z.number().min(1e-5).max(0.5) }),
  z.strictObject({ quorum: z.number().int().min(1).max(9) }),
]);
export type Trust = z.infer<typeof Trust>;

export const JobSpec = z.strictObject({
  version: z.literal(1),
  name: Label,
  kind: z.literal('wasm'),
  module: ObjectRef,
  args: z.array(Argument).max(64).default([]),
  shards: Shards,
  merge: Merge.optional(),
  limits: Limits.default({ memoryMiB: 256, timeoutSeconds: 300, outputMiB: 64 }),
  /** How many equal votes from different devices accept a shard. 1 means unverified and is shown as such. */
  quorum: z.number().int().min(1).max(9).default(2),
  /** Takes the place of `quorum` when it is given. */
  trust: Trust.optional(),
  /** Attempts that may fail before the shard, and with it the job, fails. */
  maxFailures: z.number().int().min(1).max(100).default(5),
  priority: z.number().int().min(-100).max(100).default(0),
  resources: Resources.optional(),
  constraints: Constraints.optional(),
  view: View.optional(),
});
export type JobSpec = z.infer<typeof JobSpec>;

/** A submission: the spec and the submitter's own id for it, so that sending it twice makes one job. */
export const Submission = z.strictObject({ id: z.uuid(), spec: JobSpec });
export type Submission = z.infer<typeof Submission>;

/** The error that a job allows; null when it counts votes instead. */
export function maxErrorOf({ trust }: JobSpec): number | null {
  return trust !== undefined && 'maxError' in trust ? trust.maxError : null;
}

/** The fewest votes that may accept a shard; attempts that a new shard wants. One, when belief decides how many more. */
export function quorumOf({ quorum, trust }: JobSpec): number {
  if (trust === undefined) return quorum;
  return 'maxError' in trust ? 1 : trust.quorum;
}

export function mapShardCount(spec: JobSpec): number {
  return 'count' in spec.shards ? spec.shards.count : spec.shards.inputs.length;
}

/** Map shards plus the merge shard, which has the highest index. */
export function shardCount(spec: JobSpec): number {
  return mapShardCount(spec) + (spec.merge ? 1 : 0);
}

/** Input object of a map shard; undefined when the job is a plain count. */
export function inputOf(spec: JobSpec, index: number): ObjectRef | undefined {
  return 'inputs' in spec.shards ? spec.shards.inputs[index] : undefined;
}

/** Arguments of one shard with `{shard}` and `{shards}` filled in. */
export function argumentsOf(spec: JobSpec, index: number): string[] {
  const shards = mapShardCount(spec);
  const template = index === shards && spec.merge ? spec.merge.args : spec.args;
  return template.map((a) => a.replaceAll('{shards}', String(shards)).replaceAll('{shard}', String(index)));
}
