import { type LlamaContextSequence, type LlamaModel, type SequenceEvaluateOptions, type Token, TokenBias } from 'node-llama-cpp';

import { positionSeed, type SamplingOptions } from '#actors/contract/generation.ts';

import type { GrammarState } from './grammar.ts';
import { type Distribution, logitChanges, sampleToken } from './token-sampler.ts';

/** One answer's tokens, one after the other. */
export interface TokenSource {
  /**
   * The token behind `previous`, which is computed for it; null at the model's end. `raw` comes only when log-probabilities are
   * wanted.
   */
  next(previous: Token, position: number): Promise<{ readonly token: Token; readonly raw?: Distribution } | null>;
  end(): Promise<void>;
}

export interface SourceOptions {
  readonly model: LlamaModel;
  readonly sequence: LlamaContextSequence;
  readonly sampling: SamplingOptions;
  readonly grammar: GrammarState | undefined;
  /** How often each token stands in the answer so far; the caller keeps it. */
  readonly counts: ReadonlyMap<number, number>;
}

/** What leaves the model's distribution as it is. The engine would put in a top-k of 40 and a top-p of .95 by itself. */
const UNTOUCHED = { temperature: 1, topK: 0, topP: 1, minP: 0, yieldEogToken: true } as const;

/** The simplest source that does what is asked. */
export function createTokenSource(options: SourceOptions): TokenSource {
  if (options.sampling.logprobs !== undefined) return openSource(options);
  return options.sampling.seedPerPosition === true ? positionSource(options) : runSource(options);
}

function evaluateOptions({ model, sampling, grammar, counts }: SourceOptions): SequenceEvaluateOptions {
  const { temperature, topP, topK = 0, minP = 0, seed } = sampling;
  const changes = logitChanges(sampling, counts);
  const penalised = (sampling.frequencyPenalty ?? 0) !== 0 || (sampling.presencePenalty ?? 0) !== 0;
  return {
    temperature, topP, topK, minP, seed, yieldEogToken: true,
    ...(grammar === undefined ? {} : { grammarEvaluationState: grammar.state }),
    ...(changes.size === 0 && !penalised ? {} : { tokenBias: () => biasOf(model, logitChanges(sampling, counts)) }),
  }; // prettier-ignore
}

function biasOf(model: LlamaModel, changes: ReadonlyMap<number, number>): TokenBias {
  const bias = TokenBias.for(model);
  // OpenAI's -100 means never, and the engine's own never is minus infinity.
  for (const [token, logit] of changes) bias.set(token as Token, logit <= -100 ? 'never' : { logit });
  return bias;
}

/** One run of the engine's sampler, with one seed for all of it. */
function runSource(options: SourceOptions): TokenSource {
  let run: AsyncGenerator<Token, void> | undefined;
  return {
    async next(previous) {
      run ??= options.sequence.evaluate([previous], evaluateOptions(options));
      const { value, done } = await run.next();
      return done === true || value === undefined ? null : { token: value };
    },
    async end() {
      await run?.return();
    },
  };
}

/** A run for each token, seeded by its position alone: the sampler's state is nothing that a move to another device would lose. */
function positionSource(options: SourceOptions): TokenSource {
  return {
    async next(previous, position) {
      const seed = positionSeed(options.sampling.seed, position);
      const run = options.sequence.evaluate([previous], { ...evaluateOptions(options), seed });
      try {
        const { value, done } = await run.next();
        return done === true || value === undefined ? null : { token: value };
      } finally {
        await run.return();
      }
    },
    async end() {},
  };
}

/** Takes the whole distribution from the engine and samples it here, so that it can be reported as the model gave it. */
function openSource({ sequence, sampling, grammar, counts }: SourceOptions): TokenSource {
  return {
    async next(previous, position) {
      const seed = positionSeed(sampling.seed, position);
      const masked = grammar === undefined ? {} : { grammarEvaluationState: grammar.state.clone() };
      const run = sequence.evaluateWithMetadata([previous], { probabilities: true }, { ...UNTOUCHED, ...masked, seed });
      try {
        const { value, done } = await run.next();
        if (done === true || value === undefined) return null;
        const raw: Distribution = value.probabilities;
        const token = sampleToken(raw, sampling, counts, position) as Token;
        return { token, raw };
      } finally {
        await run.return();
      }
    },
    async end() {},
  };
}
