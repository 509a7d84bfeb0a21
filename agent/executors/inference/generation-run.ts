import type { LlamaContextSequence, Token } from 'node-llama-cpp';

import type { GenerationRequest, TokenLogprob } from '#actors/contract/generation.ts';

import type { Credit } from './credit.ts';
import type { LoadedModel } from './engine.ts';
import type { GrammarState } from './grammar.ts';
import { likelihoodOf } from './likelihood.ts';
import type { SequencePool } from './sequence-pool.ts';
import { createStopStrings } from './stop-strings.ts';
import { createTextDecoder } from './text-decoder.ts';
import type { TokenBatcher } from './token-batcher.ts';
import { createTokenSource, type TokenSource } from './token-source.ts';

export interface RunOptions {
  readonly loaded: LoadedModel;
  readonly pool: SequencePool;
  readonly prompt: readonly Token[];
  readonly grammar: GrammarState | undefined;
  readonly request: GenerationRequest;
  readonly credit: Credit;
  readonly batcher: TokenBatcher;
  readonly cancelled: AbortSignal;
  /** Wraps every wait for the engine, so that the watchdog knows when it owes something. */
  readonly evaluating: <T>(work: Promise<T>) => Promise<T>;
}

export interface RunResult {
  readonly outcome: 'stop' | 'length' | 'cancelled';
  readonly completionTokens: number;
  /** Of the prompt: those that an earlier one had left computed. */
  readonly cachedTokens: number;
}

/** Prompt tokens that are computed before anybody looks whether the generation was cancelled. */
const PREFILL_TOKENS = 256;

/**
 * One generation on a sequence of the pool, from the prompt to its end. It stops at a control token or stop string (`stop`), at
 * the asked number of tokens or the end of the context (`length`), or within one batch of a cancellation. One that began
 * elsewhere computes prompt and answer so far and goes on behind them.
 *
 * The same seed gives the same tokens as long as no other generation runs beside it: a batch of several adds up in another order.
 */
export async function runGeneration(options: RunOptions): Promise<RunResult> {
  const { pool, request, cancelled, evaluating } = options;
  const before = (request.resume?.tokens ?? []).map((token) => token as Token);
  const tokens = [...options.prompt, ...before];
  const { sequence, cached } = await pool.acquire(tokens, request.deterministic === true);
  try {
    const last = tokens.length - 1;
    const together = request.deterministic === true ? options.prompt.length - 1 : last;
    let from = cached;
    while (from < last && !cancelled.aborted) {
      // What was computed one by one elsewhere is here too where it shall give the same bytes: in a batch its sums come out differently.
      const to = from < together ? Math.min(from + PREFILL_TOKENS, together) : from + 1;
      await evaluating(sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(from, to)));
      from = to;
    }
    const result = cancelled.aborted
      ? { outcome: 'cancelled' as const, completionTokens: before.length }
      : await generate(sequence, before, options);
    pool.release(sequence);
    return { ...result, cachedTokens: Math.min(cached, options.prompt.length) };
  } catch (error) {
    await pool.discard(sequence);
    throw error;
  }
}

async function generate(
  sequence: LlamaContextSequence,
  before: readonly Token[],
  options: RunOptions,
): Promise<Omit<RunResult, 'cachedTokens'>> {
  const { model } = options.loaded;
  const { sampling } = options.request;
  const counts = new Map<number, number>();
  for (const token of before) count(counts, token);
  const source = createTokenSource({ model, sequence, sampling, grammar: options.grammar, counts });
  try {
    return await sample(source, counts, before, options);
  } finally {
    await source.end();
  }
}

function count(counts: Map<number, number>, token: number): void {
  counts.set(token, (counts.get(token) ?? 0) + 1);
}

async function sample(
  source: TokenSource,
  counts: Map<number, number>,
  before: readonly Token[],
  options: RunOptions,
): Promise<Omit<RunResult, 'cachedTokens'>> {
  const { loaded, request, prompt, grammar, credit, batcher, cancelled, evaluating } = options;
  const { model, template } = loaded;
  const { sampling } = request;
  const text = createText(options);
  const most = Math.min(sampling.maxTokens, loaded.options.contextSize - prompt.length);
  let completionTokens = before.length;
  const last = before.at(-1) ?? prompt.at(-1);
  if (last === undefined) throw new Error('there is no prompt');
  let previous: Token = last;

  const settle = (outcome: RunResult['outcome'], rest: boolean): Omit<RunResult, 'cachedTokens'> => {
    if (rest) batcher.addText(text.end());
    batcher.flush();
    return { outcome, completionTokens };
  };

  for (const token of before) {
    grammar?.accept(token);
    const shown = text.push(token);
    batcher.addText(shown.text);
    // It stopped there and the news of it was lost on the way.
    if (shown.stopped) return settle('stop', false);
  }
  while (completionTokens < most) {
    if (credit.exhausted) batcher.flush(); // the consumer may be waiting for them before it grants more
    await credit.take();
    if (cancelled.aborted) return settle('cancelled', true);
    const next = await evaluating(source.next(previous, completionTokens));
    if (cancelled.aborted) return settle('cancelled', true);
    if (next === null || model.isEogToken(next.token) || template.stopTokens.has(next.token)) return settle('stop', true);
    const { token, raw } = next;
    // The engine's own sampler moves the grammar on by itself.
    if (raw !== undefined) grammar?.accept(token);
    completionTokens += 1;
    count(counts, token);
    previous = token;
    const shown = text.push(token);
    batcher.add(token, shown.text, raw === undefined ? undefined : likelihood(token, raw, options));
    if (shown.stopped) return settle('stop', false);
  }
  return settle('length', true);
}

function likelihood(token: number, raw: ReadonlyMap<number, number>, { loaded, request }: RunOptions): TokenLogprob {
  return likelihoodOf(token, raw, request.sampling.logprobs ?? 0, (id) => loaded.bytesOf(id as Token));
}

interface Text {
  /** Text that may be shown, and whether a stop string came. */
  push(token: Token): { readonly text: string; readonly stopped: boolean };
  end(): string;
}

/** Tokens to text, without what was reported before the answer came here. */
function createText({ loaded, request }: RunOptions): Text {
  const { model, template } = loaded;
  const decoder = createTextDecoder((ids, after) => model.detokenize(ids as Token[], false, after as Token[]));
  const stops = createStopStrings([...request.sampling.stop, ...template.stopTexts]);
  let known = request.resume?.textLength ?? 0;
  const unseen = (text: string): string => {
    const skipped = Math.min(known, text.length);
    known -= skipped;
    return text.slice(skipped);
  };
  return {
    push(token) {
      const { text, stopped } = stops.push(decoder.push(token));
      return { text: unseen(text), stopped };
    },
    end() {
      const { text, stopped } = stops.push(decoder.end());
      return unseen(stopped ? text : text + stops.end());
    },
  };
}
