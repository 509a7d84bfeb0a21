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
}

export type ExecutorResult =
  /** `seconds`: wall time of the attempt; `size`: bytes of the output. */
  | { ok: true; seconds: number; size: number }
  /** At most 2000 characters, for people. */
  | { ok: false; reason: string };

/**
 * Runs one attempt of a shard. A result is complete or there is none: a limit that ran out, a trap, a non-zero exit and
 * a crash are all failures. Never rejects, and when it settles nothing of the attempt is left running.
 */
export interface Executor {
  run(request: ExecutorRequest): Promise<ExecutorResult>;
}
