import type { GenerationFailure } from '#actors/contract/generation.ts';

/** Why a generation or a task cannot be done, in the contract's words. */
export class Failure extends Error {
  readonly code: GenerationFailure;
  readonly promptTokens: number;

  constructor(code: GenerationFailure, message: string, promptTokens = 0) {
    super(message);
    this.code = code;
    this.promptTokens = promptTokens;
  }
}
