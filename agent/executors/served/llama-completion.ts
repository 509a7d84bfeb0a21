import { z } from 'zod';

import { type GenerationRequest, positionSeed, type TokenLogprob } from '#actors/contract/generation.ts';
import { createStopStrings } from '#agent/executors/inference/stop-strings.ts';

import { type HttpClient, parse, ServedError } from './http-client.ts';
import { llamaPrompt } from './llama-prompt.ts';
import type { Completion, CompletionEnd } from './served-engine.ts';

/** llama-server's `/completion`, asked with tokens and answered with tokens, so that an answer can begin or go on elsewhere. */

const Count = z.number().int().nonnegative();
const Likelihood = z.object({ id: Count, logprob: z.number().nullable(), bytes: z.array(z.number().int().min(0).max(255)).max(1024) });
const Event = z.object({
  content: z.string(),
  tokens: z.array(Count).max(10_000),
  stop: z.boolean(),
  /** With `return_progress`: the prompt is still being read. */
  prompt_progress: z.unknown().optional(),
  completion_probabilities: z.array(Likelihood.extend({ top_logprobs: z.array(Likelihood).max(100) })).optional(),
  stop_type: z.string().optional(),
  tokens_evaluated: Count.optional(),
  timings: z.object({ cache_n: Count.optional() }).optional(),
  error: z.object({ message: z.string() }).optional(),
});
const Detokenized = z.object({ content: z.string() });

/** @throws ServedError for what llama-server cannot do the way the contract means it; an answer may still go on on another device */
function refuseUnsupported({ deterministic, grammar, resume }: GenerationRequest): void {
  if (deterministic === true) throw new ServedError('UNSUPPORTED', 'llama-server cannot run one request alone in its batch');
  // Its grammar begins with the first token it samples itself, so it would begin anew in the middle of the answer.
  if (grammar !== undefined && (resume?.tokens.length ?? 0) > 0)
    throw new ServedError('NOT_READY', 'llama-server cannot go on inside a grammar');
}

function bodyOf({ sampling, grammar, resume }: GenerationRequest, prompt: readonly number[], contextSize: number): Record<string, unknown> {
  const before = resume?.tokens.length ?? 0;
  return {
    prompt,
    stream: true,
    return_tokens: true,
    return_progress: true,
    cache_prompt: true,
    n_predict: sampling.maxTokens - before,
    // In the order of our own engine; what is not named is not used.
    samplers: ['penalties', 'top_k', 'top_p', 'min_p', 'temperature'],
    temperature: sampling.temperature,
    top_k: sampling.topK ?? 0,
    top_p: sampling.topP,
    min_p: sampling.minP ?? 0,
    repeat_penalty: 1,
    repeat_last_n: contextSize,
    frequency_penalty: sampling.frequencyPenalty ?? 0,
    presence_penalty: sampling.presencePenalty ?? 0,
    // It has one seed for the run: an answer that goes on here does not repeat the draws of its beginning.
    seed: before === 0 ? sampling.seed : positionSeed(sampling.seed, before),
    ...(sampling.logitBias === undefined ? {} : { logit_bias: sampling.logitBias.map(({ token, bias }) => [token, bias]) }),
    ...(grammar === undefined ? {} : { grammar }),
    ...(sampling.logprobs === undefined ? {} : { n_probs: Math.max(1, sampling.logprobs) }),
  };
}

/** Texts before and after must not be joined inside a character. */
function isWhole(text: string): boolean {
  return !text.endsWith('�');
}

/** One answer. Stop strings are looked for here, as an answer that began elsewhere may have begun one there. */
export async function completeByLlama(http: HttpClient, completion: Completion): Promise<CompletionEnd> {
  const { request, options, batcher, take, heard, signal } = completion;
  refuseUnsupported(request);
  const prompt = await llamaPrompt(http, request, signal);
  const before = request.resume?.tokens ?? [];
  let completionTokens = before.length;
  if (prompt.length + before.length >= options.contextSize) {
    const reason = `The prompt has ${prompt.length} tokens and the model's context holds ${options.contextSize}, the answer included.`;
    throw new ServedError('CONTEXT_LENGTH', reason);
  }
  const stops = createStopStrings(request.sampling.stop);
  const ended = (outcome: CompletionEnd['outcome'], cachedTokens = 0): CompletionEnd => {
    return { outcome, promptTokens: prompt.length, completionTokens, cachedTokens: Math.min(cachedTokens, prompt.length) };
  };

  if (before.length > 0) {
    const { content } = await http.post('/detokenize', { tokens: before }, Detokenized, signal);
    if (!isWhole(content)) throw new ServedError('NOT_READY', 'llama-server cannot go on inside a character');
    const shown = stops.push(content);
    batcher.addText(shown.text.slice(request.resume?.textLength ?? 0));
    if (shown.stopped) return ended('stop');
    if (completionTokens >= request.sampling.maxTokens) return ended('length');
  }
  for await (const data of http.events('/completion', bodyOf(request, [...prompt, ...before], options.contextSize), signal)) {
    heard();
    const event = parse(Event, data);
    if (event.error !== undefined) throw new ServedError('ENGINE', event.error.message);
    if (event.prompt_progress !== undefined) continue;
    const shown = stops.push(event.content);
    const [first, ...rest] = event.tokens;
    if (first === undefined) batcher.addText(shown.text);
    else {
      await take();
      batcher.add(first, shown.text, likelihoodOf(event, 0, request.sampling.logprobs));
      for (const [i, token] of rest.entries()) {
        await take();
        batcher.add(token, '', likelihoodOf(event, i + 1, request.sampling.logprobs));
      }
      completionTokens += event.tokens.length;
    }
    if (signal.aborted) return ended('cancelled');
    // Leaving the loop closes the connection, and the server gives its slot back.
    if (shown.stopped) return ended('stop');
    if (!event.stop) continue;
    batcher.addText(stops.end());
    return ended(event.stop_type === 'limit' ? 'length' : 'stop', event.timings?.cache_n);
  }
  throw new ServedError('UPSTREAM', 'the stream ended before the answer did');
}

function likelihoodOf(event: z.infer<typeof Event>, index: number, wanted: number | undefined): TokenLogprob | undefined {
  const known = event.completion_probabilities?.[index];
  if (wanted === undefined || known === undefined) return undefined;
  const one = ({ id, logprob, bytes }: z.infer<typeof Likelihood>): Omit<TokenLogprob, 'top'> => {
    // Impossible tokens have null.
    return { token: id, logprob: Math.min(0, logprob ?? -1e9), bytes: Uint8Array.from(bytes) };
  };
  return { ...one(known), top: known.top_logprobs.slice(0, wanted).map(one) };
}
