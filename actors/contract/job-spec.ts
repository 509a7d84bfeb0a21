import { z } from 'zod';

import { Comparator } from './comparator.ts';
import { combinationOf, gridSize, ParameterGrid } from './parameter-grid.ts';
import { JobId, Label, MAX_INLINE_SHARDS, MAX_SHARDS, ObjectRef } from './primitives.ts';
import { Constraints, Resources, RunnableKind } from './requirements.ts';

/**
 * What a job is, as it crosses the wire: every file is already an object in the store.
 * People write the friendlier job file (`job-file.ts`); the CLI packs its files and sends this.
 *
 * Arguments may hold `{shard}` and `{shards}`: the shard's index, from 0, and their number; with a grid also the names of its
 * parameters.
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

/**
 * Map shards: a plain count; one for each input object (its bytes are the module's standard input); one for each combination of
 * parameters; or one for each output of another job (its merged result is one), which becomes `inputs` when that job is done.
 */
export const Shards = z.union(
  [
    z.strictObject({ count: z.number().int().min(1).max(MAX_SHARDS) }),
    z.strictObject({ inputs: z.array(ObjectRef).min(1).max(MAX_INLINE_SHARDS) }),
    z.strictObject({ grid: ParameterGrid }),
    z.strictObject({
      outputsOf: JobId,
      /** The grid fills it in: as many as the job has outputs. */
      count: z.number().int().min(1).max(MAX_INLINE_SHARDS).optional(),
    }),
  ],
  { error: 'expected `count`, `inputs`, `grid` or `outputsOf`' },
);

/** Pause before a shard runs again after an attempt failed: doubles with each failure up to the most. */
export const Retry = z.strictObject({
  pauseSeconds: z.number().min(0).max(3_600).default(1),
  maxPauseSeconds: z.number().min(0).max(86_400).default(300),
});
export type Retry = z.infer<typeof Retry>;

/** A module that runs in steps is kept where it is this often, so that a lost attempt need not begin anew. */
export const CheckpointRule = z.strictObject({ everySeconds: z.number().min(1).max(86_400).default(30) });
export type CheckpointRule = z.infer<typeof CheckpointRule>;

/** Jobs that one job may wait for. */
export const MAX_NEEDS = 64;
/** Longest time to a deadline: two weeks. */
const MAX_DEADLINE_SECONDS = 14 * 86_400;
export const DeadlineSeconds = z.number().int().min(1).max(MAX_DEADLINE_SECONDS);

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
 * equal votes of different devices, whatever is known of them. `comparator`: when two outputs are the same result; their bytes
 * decide when it is left out.
 */
const SAME = { comparator: Comparator.optional() };
export const Trust = z.union([
  z.strictObject({ maxError: z.number().min(1e-5).max(0.5), ...SAME }),
  z.strictObject({ quorum: z.number().int().min(1).max(9), ...SAME }),
]);
export type Trust = z.infer<typeof Trust>;

const Fields = z.strictObject({
  version: z.literal(1, 'expected 1, the only version of job specs'),
  name: Label,
  kind: RunnableKind,
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
  retry: Retry.optional(),
  checkpoint: CheckpointRule.optional(),
  /** Higher first, among the jobs of one tenant. */
  priority: z.number().int().min(-100).max(100).default(0),
  /** After its submission, in seconds. Among jobs of one priority the nearest comes first; past it the job fails. */
  deadlineSeconds: DeadlineSeconds.optional(),
  /** Jobs that must be done before this one begins. It fails when one of them fails or is cancelled. */
  needs: z.array(JobId).max(MAX_NEEDS).optional(),
  /** Left out: the tenant of the key. Another tenant's name needs an admin key. */
  tenant: Label.optional(),
  resources: Resources.optional(),
  constraints: Constraints.optional(),
  view: View.optional(),
});

export const JobSpec = Fields.superRefine(({ shards, args }, context) => {
  if (!('grid' in shards)) return;
  for (const name of Object.keys(shards.grid)) {
    if (args.some((arg) => arg.includes(`{${name}}`))) continue;
    context.addIssue({
      code: 'custom',
      path: ['shards', 'grid', name],
      message: `no argument says {${name}}: name it in args, or leave it out`,
    });
  }
});
export type JobSpec = z.infer<typeof JobSpec>;

/** A submission: the spec and the submitter's own id for it, so that sending it twice makes one job. */
export const Submission = z.strictObject({ id: z.uuid(), spec: JobSpec });
export type Submission = z.infer<typeof Submission>;

/** How outputs of the job are compared; null: by their bytes. A merge shard's are compared likewise. */
export function comparatorOf({ trust }: Pick<JobSpec, 'trust'>): Comparator | null {
  const { comparator } = trust ?? {};
  return comparator === undefined || comparator.type === 'bytes' ? null : comparator;
}

/** The error that a job allows; null when it counts votes instead. */
export function maxErrorOf({ trust }: JobSpec): number | null {
  return trust !== undefined && 'maxError' in trust ? trust.maxError : null;
}

/** The fewest votes that may accept a shard; attempts that a new shard wants. One, when belief decides how many more. */
export function quorumOf({ quorum, trust }: JobSpec): number {
  if (trust === undefined) return quorum;
  return 'maxError' in trust ? 1 : trust.quorum;
}

export function mapShardCount({ shards }: Pick<JobSpec, 'shards'>): number {
  if ('inputs' in shards) return shards.inputs.length;
  if ('grid' in shards) return gridSize(shards.grid);
  if (shards.count === undefined) throw new Error('a job over the outputs of another one is not counted yet');
  return shards.count;
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
  if (index === shards && spec.merge) return spec.merge.args.map((arg) => filled(arg, shards, index));
  const combination = 'grid' in spec.shards ? combinationOf(spec.shards.grid, index) : new Map<string, string>();
  return spec.args.map((arg) => filled(arg, shards, index, combination));
}

/** In one pass: a value that looks like a placeholder is left as it is. */
function filled(template: string, shards: number, index: number, values: ReadonlyMap<string, string> = new Map()): string {
  return template.replaceAll(/\{([A-Za-z][A-Za-z0-9_-]*)\}/g, (whole, name: string) => {
    if (name === 'shard') return String(index);
    if (name === 'shards') return String(shards);
    return values.get(name) ?? whole;
  });
}

/** Every job that this one waits for, each once. */
export function needsOf({ needs = [], shards }: Pick<JobSpec, 'needs' | 'shards'>): string[] {
  return [...new Set([...needs, ...('outputsOf' in shards ? [shards.outputsOf] : [])])];
}
