import type { GenerationFailure, GenerationRequest } from '#actors/contract/generation.ts';

/** The pure parts of a generation: what an attempt is asked, and how long to stay away from where one failed. Times are milliseconds. */

export interface GenerationLimits {
  /** Until a replica is found, loading a model included. */
  readonly loadMs: number;
  /** From the command to the first token: the whole prefill. */
  readonly firstTokenMs: number;
  /** Between tokens. */
  readonly silenceMs: number;
  /** Attempts after the first. */
  readonly moves: number;
  /** The longest that a replica's wish to be left alone is waited for. */
  readonly waitMs: number;
}

export const LIMITS: GenerationLimits = { loadMs: 300_000, firstTokenMs: 60_000, silenceMs: 15_000, moves: 3, waitMs: 30_000 };

export interface Failure {
  readonly code: GenerationFailure;
  readonly reason: string;
  readonly promptTokens: number;
  readonly retryAfterMs?: number;
}

/** The request as the next attempt gets it: the answer so far goes along. */
export function requestAt(request: GenerationRequest, tokens: readonly number[], textLength: number): GenerationRequest {
  if (tokens.length === 0) return request;
  return { ...request, resume: { tokens: [...tokens], textLength } };
}

const FIRST_PAUSE_MS = 250;

/**
 * Before the same replica is tried again: as long as it asked for, else doubling from 250 ms, by half more or less, so that those who were
 * refused together do not come back together.
 *
 * @param random uniform in [0, 1)
 */
export function pauseBefore({ retryAfterMs }: Failure, moves: number, random: number): number {
  const pause = FIRST_PAUSE_MS * 2 ** Math.max(0, moves - 1) * (0.5 + random);
  return Math.max(pause, retryAfterMs ?? 0);
}
