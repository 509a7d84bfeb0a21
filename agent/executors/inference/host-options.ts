import { availableParallelism } from 'node:os';

import type { Host } from '#runtime/kernel/host.ts';

import type { StartEngine } from './engine-process.ts';
import type { ModelFile } from './model-file.ts';

export interface InferenceHostOptions {
  readonly host: Host;
  /** Null for an engine that keeps its models itself. */
  readonly modelPath: string | null;
  readonly name: string;
  /** Tokens that prompt and answer of one generation may have together. */
  readonly contextSize: number;
  /** Generations at once. More wait. Each takes the memory of a whole context. */
  readonly sequences: number;
  /** Default: `defaultThreads()`. All cores would collapse on a busy machine, as the engine's threads spin. */
  readonly threads?: number;
  /** Default false: processor only. */
  readonly gpu?: 'auto' | false;
  /** Which GPUs the host may see; undefined leaves the choice to the environment. */
  readonly devices?: readonly number[];
  /** The agent's own environment, of which a few names are passed on. Default: this process's. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly log: HostLog;
  onState(state: ModelState, memoryBytes: number, reason?: string): void;
  /** Default: node-llama-cpp in a process of its own. */
  readonly engine?: StartEngine | undefined;
  /** What the file must hash to; anything else is not loaded. Default: what `file` says. */
  readonly sha256?: string;
  /** What was learned of the file before: an unchanged one is not hashed again, and a changed one not loaded. */
  readonly file?: ModelFile;
  readonly limits?: Partial<HostLimits>;
}

export type ModelState = 'loading' | 'ready' | 'unloaded' | 'failed';

/** A pino logger fits as it is. */
export interface HostLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface HostLimits {
  /** Loading may take this long. */
  readonly loadMs: number;
  /** The engine may compute one batch for this long. */
  readonly silenceMs: number;
  readonly drainMs: number;
  readonly killMs: number;
  /** Credit that a generation starts with, in tokens. */
  readonly credit: number;
}

export const LIMITS: HostLimits = { loadMs: 600_000, silenceMs: 60_000, drainMs: 5_000, killMs: 10_000, credit: 256 };

/** All cores but one, and at most 8: more only wait for memory. */
export function defaultThreads(): number {
  return Math.min(8, Math.max(1, availableParallelism() - 1));
}
