import { z } from 'zod';

import { DeviceId, Label } from './primitives.ts';

/** What a job asks of the machines that run its shards. All of it is optional: a job that asks nothing runs anywhere on mains. */

export const JobKind = z.enum(['wasm', 'process', 'kernel', 'inference']);
export type JobKind = z.infer<typeof JobKind>;

/** Kinds that nothing runs yet, and what does their work meanwhile. */
const NOT_YET: Readonly<Partial<Record<JobKind, string>>> = {
  process: 'no agent runs native programs yet: build the program for WASI and use kind: wasm',
  kernel: 'no agent runs GPU kernels yet: use kind: wasm',
  inference: 'prompts are no shards of jobs yet: send them to POST /v1/batches, which a loaded model answers line by line',
};

/** A kind that agents can run. The others are known and refused, with what is missing. */
export const RunnableKind = JobKind.transform((kind, context): 'wasm' => {
  if (kind === 'wasm') return kind;
  context.issues.push({ code: 'custom', input: kind, message: NOT_YET[kind] ?? 'no agent runs this kind' });
  return z.NEVER;
});

export const GpuBackend = z.enum(['cuda', 'metal', 'vulkan', 'opencl', 'webgpu']);
export type GpuBackend = z.infer<typeof GpuBackend>;

/** How well a machine shuts a job's code in, as its own self-test found: weakest first. */
export const SANDBOX_GRADES = ['weak', 'limited', 'strong'] as const;
export const SandboxGrade = z.enum(SANDBOX_GRADES);
export type SandboxGrade = z.infer<typeof SandboxGrade>;

/** Needs of one attempt. What is given is kept free for it on its device while it runs. */
export const Resources = z.strictObject({
  /** Processor cores, also parts of one. */
  cores: z.number().gt(0, 'expected more than 0 cores').max(4096).optional(),
  /** Left out: the memory that `limits` allows the module. */
  memoryMiB: z.number().int().min(1).max(16_777_216).optional(),
  diskMiB: z.number().int().min(0).max(1_073_741_824).optional(),
  gpu: z
    .strictObject({
      count: z.number().int().min(1).max(64).default(1),
      /** Memory of each of these GPUs; left out: the whole GPU. */
      vramMiB: z.number().int().min(1).max(16_777_216).optional(),
      backend: GpuBackend.optional(),
    })
    .optional(),
  sandbox: SandboxGrade.optional(),
});
export type Resources = z.infer<typeof Resources>;

/** Which machines may run a job's shards, beyond what they need. */
export const Constraints = z.strictObject({
  os: z
    .array(z.enum(['linux', 'darwin', 'win32']))
    .min(1)
    .max(3)
    .optional(),
  arch: z
    .array(z.enum(['x64', 'arm64']))
    .min(1)
    .max(2)
    .optional(),
  /** `mains` unless the job says otherwise: work drains batteries. */
  power: z.enum(['mains', 'any']).default('mains'),
  /** `away` unless the job says otherwise: a person at the machine comes first. */
  owner: z.enum(['away', 'any']).default('away'),
  /** Degrees Celsius of the hottest sensor; machines without a sensor pass. */
  maxCelsius: z.number().min(20).max(150).default(90),
  /** Only machines of these sites. */
  sites: z.array(Label).min(1).max(100).optional(),
  /** Machines of these sites first, the others when they are full: where the data is. */
  nearSites: z.array(Label).min(1).max(100).optional(),
  /** Never these machines. */
  excludeDevices: z.array(DeviceId).min(1).max(10_000).optional(),
  /** Attempts of one shard on machines of different sites. */
  spread: z.enum(['site']).optional(),
});
export type Constraints = z.infer<typeof Constraints>;
