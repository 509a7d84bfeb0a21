import type { Token } from 'node-llama-cpp';

import { tokensDigestOf } from '#actors/contract/answer-receipt.ts';
import { type GenerationRequest, type ModelTask, positionSeed } from '#actors/contract/generation.ts';
import { sha256 } from '#runtime/identity/digest.ts';

import type { LoadedModel } from './engine.ts';
import { engineDraw } from './engine-draw.ts';
import type { GrammarState } from './grammar.ts';
import type { SequencePool } from './sequence-pool.ts';
import { createStopStrings } from './stop-strings.ts';
import { createTextDecoder } from './text-decoder.ts';
import { type Candidate, candidatesOf, deviationOf, FAR } from './token-deviation.ts';
import { type Distribution, uniform } from './token-sampler.ts';
import type { TaskValues } from './host-protocol.ts';

export type AuditTask = Extract<ModelTask, { kind: 'audit' }>;

export interface AuditOptions {
  readonly loaded: LoadedModel;
  readonly pool: SequencePool;
  /** In tokens, checked to fit the context together with the answer. @throws Failure */
  readonly promptOf: (request: GenerationRequest) => Token[];
  /** @throws Failure */
  readonly grammarOf: (text: string | undefined) => GrammarState | undefined;
  readonly cancelled: AbortSignal;
  readonly evaluating: <T>(work: Promise<T>) => Promise<T>;
  readonly count: (tokens: number) => void;
  readonly values: (values: TaskValues) => void;
}

/** Distributions that are in memory at once, in entries: each is as long as the vocabulary. */
const ENTRIES_AT_ONCE = 4_000_000;
/** Of what a grammar allows, so many of the likeliest are looked at, among so many. */
const ALLOWED = 64;
const LOOKED_AT = 4_096;

/**
 * Puts an answer behind its prompt as if this model had chosen it, and tells at each place how far that is from what it would have chosen:
 * with the request's own filters, penalties, biases, grammar and draws. Many places are computed at once, so this is much less work than
 * choosing them was. The last gap is that of the end: a model that was cut short would have gone on.
 */
export async function audit(task: AuditTask, options: AuditOptions): Promise<void> {
  const { loaded, pool, cancelled, evaluating, count, values } = options;
  const prompt = options.promptOf({ ...task.request, resume: { tokens: task.tokens, textLength: 0 } });
  count(prompt.length + task.tokens.length);
  const tokens = task.tokens.map((token) => token as Token);
  const replay = createReplay(task, options);
  const vocabulary = loaded.model.fileInfo.metadata.tokenizer?.ggml?.tokens.length ?? 1;
  const atOnce = Math.max(1, Math.min(256, Math.floor(ENTRIES_AT_ONCE / vocabulary)));
  const { sequence, cached } = await pool.acquire(prompt, false);
  try {
    const last = prompt.length - 1;
    if (cached < last) await evaluating(sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(cached, last)));
    const before = [...prompt.slice(last), ...tokens];
    for (let from = 0; from < before.length && !cancelled.aborted; from += atOnce) {
      const rows = before.slice(from, from + atOnce);
      const wanted = { generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } } };
      const results = await evaluating(sequence.controlledEvaluate(rows.map((token) => [token, wanted])));
      const gaps = results.map((result) => {
        if (result?.next.probabilities === undefined) throw new Error('the engine left a token out');
        return replay(result.next.probabilities);
      });
      values({ from, gaps, ...(from === 0 ? { prompt: tokensDigestOf(prompt, sha256) } : {}) });
    }
    pool.release(sequence);
  } catch (error) {
    await pool.discard(sequence);
    throw error;
  }
}

/** Takes the distributions of the answer's places in their order, one after the last token included. */
function createReplay({ request, tokens, outcome }: AuditTask, { loaded, grammarOf }: AuditOptions): (raw: Distribution) => number {
  const { model, template } = loaded;
  const { sampling } = request;
  const grammar = grammarOf(request.grammar);
  const decoder = createTextDecoder((ids, after) => model.detokenize(ids as Token[], false, after as Token[]));
  const stops = createStopStrings([...sampling.stop, ...template.stopTexts]);
  const counts = new Map<number, number>();
  const ends = (token: number): boolean => model.isEogToken(token as Token) || template.stopTokens.has(token);
  let position = 0;
  let stopped = false;

  function gapOf(sorted: readonly Candidate[], wanted: (token: number) => boolean): number {
    // Only the likeliest of several that are as good: an end of the model, usually.
    const token = sorted.find((candidate) => wanted(candidate.token))?.token;
    if (token === undefined) return FAR;
    const [first, second] = drawsOf(request, position);
    if (grammar === undefined) return deviationOf(sorted, token, sampling, first);
    if (!grammar.allows(token)) return FAR;
    const allowed: Candidate[] = [];
    for (const candidate of sorted.slice(0, LOOKED_AT)) {
      if (grammar.allows(candidate.token) || candidate.token === token) allowed.push(candidate);
      if (allowed.length >= ALLOWED) break;
    }
    const masked = deviationOf(allowed, token, sampling, sampling.logprobs === undefined ? second : first);
    // The engine draws without the grammar first, and again with it when the grammar refuses what came.
    if (sampling.logprobs !== undefined || sampling.temperature === 0) return masked;
    const refused = sorted.slice(0, ALLOWED).filter((candidate) => !grammar.allows(candidate.token));
    const again = Math.min(FAR, ...refused.map((candidate) => deviationOf(sorted, candidate.token, sampling, first)));
    return Math.min(deviationOf(sorted, token, sampling, first), Math.max(again, masked));
  }

  return (raw) => {
    const token = tokens[position];
    const sorted = candidatesOf(raw, sampling, counts);
    if (token === undefined) return outcome === 'length' || stopped ? 0 : gapOf(sorted, ends);
    const gap = stopped || ends(token) ? FAR : gapOf(sorted, (other) => other === token);
    if (gap < FAR) grammar?.accept(token);
    counts.set(token, (counts.get(token) ?? 0) + 1);
    stopped ||= stops.push(decoder.push(token)).stopped;
    position += 1;
    return gap;
  };
}

/** What the sampler drew at a position, first and when it had to draw again. Null where only the run as a whole had a seed. */
function drawsOf({ sampling }: Pick<GenerationRequest, 'sampling'>, position: number): [number | null, number | null] {
  if (sampling.logprobs !== undefined) return [uniform(sampling.seed, position), null];
  if (sampling.seedPerPosition !== true) return [null, null];
  const seed = positionSeed(sampling.seed, position);
  return [engineDraw(seed), engineDraw(seed, 1)];
}
