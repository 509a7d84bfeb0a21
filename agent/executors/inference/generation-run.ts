import type { LlamaContext, LlamaModel, Token } from 'node-llama-cpp';

import type { SamplingOptions } from '#actors/contract/generation.ts';

import type { Credit } from './credit.ts';
import { createStopStrings } from './stop-strings.ts';
import { createTextDecoder } from './text-decoder.ts';
import type { TokenBatcher } from './token-batcher.ts';

export interface RunOptions {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly prompt: readonly Token[];
  readonly sampling: SamplingOptions;
  /** Tokens that prompt and answer may have together. */
  readonly contextSize: number;
  readonly stopTokens: ReadonlySet<number>;
  readonly stopTexts: readonly string[];
  readonly credit: Credit;
  readonly batcher: TokenBatcher;
  readonly cancelled: AbortSignal;
  /** Wraps every wait for the engine, so that the watchdog knows when it owes something. */
  readonly evaluating: <T>(work: Promise<T>) => Promise<T>;
}

export interface RunResult {
  readonly outcome: 'stop' | 'length' | 'cancelled';
  readonly completionTokens: number;
}

/** Prompt tokens that are computed before anybody looks whether the generation was cancelled. */
const PREFILL_TOKENS = 256;

/**
 * One generation on a sequence of its own, from the prompt to its end. It stops at a control token or stop string (`stop`),
 * at the asked number of tokens or the end of the context (`length`), or within one batch of a cancellation.
 *
 * The same seed gives the same tokens as long as no other generation runs beside it: a batch of several adds up in another order.
 */
export async function runGeneration(options: RunOptions): Promise<RunResult> {
  const { context, prompt, cancelled, evaluating } = options;
  const sequence = context.getSequence();
  try {
    const last = prompt.length - 1;
    for (let from = 0; from < last && !cancelled.aborted; from += PREFILL_TOKENS) {
      await evaluating(sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(from, Math.min(from + PREFILL_TOKENS, last))));
    }
    if (cancelled.aborted) return { outcome: 'cancelled', completionTokens: 0 };
    const { temperature, topP, seed } = options.sampling;
    // The engine would add a top-k of 40 by itself.
    const tokens = sequence.evaluate(prompt.slice(last), { temperature, topP, topK: 0, minP: 0, seed, yieldEogToken: true });
    try {
      return await sample(tokens, options);
    } finally {
      await tokens.return();
    }
  } finally {
    await sequence.dispose();
  }
}

async function sample(tokens: AsyncGenerator<Token, void>, options: RunOptions): Promise<RunResult> {
  const { model, sampling, prompt, credit, batcher, cancelled, evaluating } = options;
  const decoder = createTextDecoder((ids, after) => model.detokenize(ids as Token[], false, after as Token[]));
  const stops = createStopStrings([...sampling.stop, ...options.stopTexts]);
  const most = Math.min(sampling.maxTokens, options.contextSize - prompt.length);
  let completionTokens = 0;

  const settle = (outcome: RunResult['outcome'], rest: boolean): RunResult => {
    if (rest) {
      const { text, stopped } = stops.push(decoder.end());
      batcher.addText(stopped ? text : text + stops.end());
    }
    batcher.flush();
    return { outcome, completionTokens };
  };

  while (completionTokens < most) {
    if (credit.exhausted) batcher.flush(); // the consumer may be waiting for them before it grants more
    await credit.take();
    if (cancelled.aborted) return settle('cancelled', true);
    const { value: token, done } = await evaluating(tokens.next());
    if (cancelled.aborted) return settle('cancelled', true);
    if (done === true || model.isEogToken(token) || options.stopTokens.has(token)) return settle('stop', true);
    completionTokens += 1;
    const { text, stopped } = stops.push(decoder.push(token));
    batcher.add(token, text);
    if (stopped) return settle('stop', false);
  }
  return settle('length', true);
}
