import type { Limits } from '#actors/contract/job-spec.ts';

/** One attempt. All paths are absolute; the caller owns the files. */
export interface ExecutorRequest {
  modulePath: string;
  /** What the module sees after its own name. */
  args: string[];
  /** The file whose bytes are the standard input. */
  inputPath: string;
  /** The file to create for the standard output. It must not exist yet, and does not exist after a failure. */
  outputPath: string;
  limits: Limits;
  /** Ends the attempt at once. */
  signal: AbortSignal;
  checkpoints?: ExecutorCheckpoints;
}

/** Checkpoints of an attempt, for a module that can make them. */
export interface ExecutorCheckpoints {
  everyMs: number;
  /** An empty folder for them; the caller owns it. */
  folder: string;
  /** Stand in each checkpoint, and must stand in the one that is restored: 64 hex digits each. */
  module: string;
  inputDigest: string;
  /** The file of a checkpoint to go on from. Refused when it is not one of this module and this input. */
  from?: string;
  /** It runs, and whoever keeps `makeOne` may ask for a checkpoint out of turn. */
  started?: (makeOne: () => void) => void;
  /** One lies in the folder, and the last one that was told of is not written any more. */
  made: (file: string, steps: number) => void;
}

export type ExecutorResult =
  /** `seconds`: wall time of the attempt; `size`: bytes of the output. */
  | { ok: true; seconds: number; size: number }
  /** At most 2000 characters, for people. */
  | { ok: false; reason: string; /** The checkpoint was no good: nothing was run. */ checkpointRefused?: boolean };

/**
 * Runs one attempt of a shard. A result is complete or there is none: a limit that ran out, a trap, a non-zero exit and
 * a crash are all failures. Never rejects, and when it settles nothing of the attempt is left running.
 */
export interface Executor {
  run(request: ExecutorRequest): Promise<ExecutorResult>;
}
