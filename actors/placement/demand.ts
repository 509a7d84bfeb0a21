import type { JobSpec } from '#actors/contract/job-spec.ts';
import { Constraints, SANDBOX_GRADES, type GpuBackend, type JobKind, type SandboxGrade } from '#actors/contract/requirements.ts';

/** What one attempt of a job needs of its machine, in the units that placement counts in. */
export interface Demand {
  readonly kind: JobKind;
  /** What the shards run, for standing and back-off: the hash of the module. */
  readonly app: string;
  readonly cores: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  /** 0: none. */
  readonly gpus: number;
  /** Of each GPU; null: the whole of it. */
  readonly vramMiB: number | null;
  readonly backend: GpuBackend | null;
  /** Rank in SANDBOX_GRADES that is asked for; -1: none. */
  readonly sandboxRank: number;
  readonly constraints: Constraints;
}

const ANYWHERE: Constraints = Constraints.parse({});

/** A job that says nothing of resources takes one core and the memory that its limits allow. */
export function demandOf(spec: Pick<JobSpec, 'kind' | 'module' | 'limits' | 'resources' | 'constraints'>): Demand {
  const { resources = {} } = spec;
  return {
    kind: spec.kind,
    app: spec.module.sha256,
    cores: resources.cores ?? 1,
    memoryMiB: resources.memoryMiB ?? spec.limits.memoryMiB,
    diskMiB: resources.diskMiB ?? 0,
    gpus: resources.gpu?.count ?? 0,
    vramMiB: resources.gpu?.vramMiB ?? null,
    backend: resources.gpu?.backend ?? null,
    sandboxRank: rankOf(resources.sandbox),
    constraints: spec.constraints ?? ANYWHERE,
  };
}

export function rankOf(grade: SandboxGrade | undefined): number {
  return grade === undefined ? -1 : SANDBOX_GRADES.indexOf(grade);
}
