import type { RunCommand } from '#actors/contract/agent-link.ts';
import { mapShardCount, type JobSpec } from '#actors/contract/job-spec.ts';
import type { ObjectRef } from '#actors/contract/primitives.ts';

/** A job of the plan. */
export interface PlannedJob {
  readonly id: string;
  readonly spec: JobSpec;
  /** Outputs are too large to travel inside their votes. */
  readonly large: boolean;
  /** When it is submitted, in ms from the start. */
  readonly at: number;
  /** When its owner cancels it, in ms from the start; null: never. */
  readonly cancelAt: number | null;
}

/** One or two jobs of a few shards; some with a merge, some whose outputs must be uploaded. */
export function planJobs(
  seed: number,
  chance: () => number,
  { module, minQuorum, maxQuorum }: { module: ObjectRef; minQuorum: number; maxQuorum: number },
): PlannedJob[] {
  return Array.from({ length: chance() < 0.3 ? 2 : 1 }, (_, index): PlannedJob => {
    const merge = chance() < 0.3;
    return {
      id: `00000000-0000-4000-8000-${(seed * 2 + index).toString(16).padStart(12, '0').slice(-12)}`,
      spec: {
        version: 1,
        name: 'simulated',
        kind: 'wasm',
        module,
        args: ['{shard}'],
        shards: { count: 1 + Math.floor(chance() * 5) },
        ...(merge ? { merge: { module, args: ['merge'] } } : {}),
        limits: { memoryMiB: 1, timeoutSeconds: 30, outputMiB: 1 },
        quorum: minQuorum + Math.floor(chance() * (maxQuorum - minQuorum + 1)),
        maxFailures: 100,
        priority: 0,
      },
      large: chance() < 0.25,
      at: chance() * 2_000,
      cancelAt: chance() < 0.1 ? 500 + chance() * 5_000 : null,
    };
  });
}

export function rightOutput(jobs: readonly PlannedJob[], id: string, index: number): Uint8Array {
  const large = jobs.find((job) => job.id === id)?.large === true;
  return new TextEncoder().encode(`the result of shard ${index} of ${id}`.padEnd(large ? 5_000 : 10));
}

/** What an honest machine makes of a command. The merge shard needs the outputs of all others. */
export function compute(jobs: readonly PlannedJob[], command: RunCommand): Uint8Array | { fails: string } {
  const job = jobs.find(({ id }) => id === command.job);
  if (job === undefined) return { fails: 'nobody planned this job' };
  const maps = mapShardCount(job.spec);
  if (command.shard === maps && command.input.length !== maps) return { fails: 'the merge has not all its inputs' };
  if (command.input.some((part) => part.bytes === undefined && part.get === undefined))
    return { fails: 'an input has neither bytes nor address' };
  return rightOutput(jobs, command.job, command.shard);
}
