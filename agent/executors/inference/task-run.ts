import type { Token } from 'node-llama-cpp';

import type { GenerationRequest, ModelTask } from '#actors/contract/generation.ts';

import { audit, type AuditOptions } from './audit-run.ts';
import type { LoadedModel } from './engine.ts';
import { Failure } from './failure.ts';
import { type GenerationEnd, shortReason, type TaskValues } from './host-protocol.ts';
import { logprobOf } from './likelihood.ts';
import type { SequencePool } from './sequence-pool.ts';

type ScoreTask = Extract<ModelTask, { kind: 'score' }>;

export interface TaskOptions {
  readonly loaded: LoadedModel;
  readonly pool: SequencePool;
  /** The prompt of a score task in tokens, checked to fit the context together with the tokens to score. @throws Failure */
  readonly promptOf: (task: Pick<GenerationRequest, 'messages' | 'prompt' | 'toolUse' | 'resume'>) => Token[];
  readonly grammarOf: AuditOptions['grammarOf'];
  readonly cancelled: AbortSignal;
  /** Wraps every wait for the engine, so that the watchdog knows when it owes something. */
  readonly evaluating: <T>(work: Promise<T>) => Promise<T>;
  /** So many tokens more were read. */
  readonly count: (tokens: number) => void;
  readonly values: (values: TaskValues) => void;
}

/** Distributions that are in memory at once, in entries: each is as long as the vocabulary. */
const ENTRIES_AT_ONCE = 4_000_000;

/** Work on a model whose result is numbers. Values are handed out as they are computed. @throws Failure */
export async function runTask(task: ModelTask, options: TaskOptions): Promise<GenerationEnd> {
  let promptTokens = 0;
  const counting: TaskOptions = {
    ...options,
    count(tokens) {
      promptTokens += tokens;
      options.count(tokens);
    },
  };
  if (task.kind === 'embedding') await embed(task.inputs, counting);
  else if (task.kind === 'rerank') await rank(task, counting);
  else if (task.kind === 'audit') await audit(task, counting);
  else await score(task, counting);
  return { outcome: options.cancelled.aborted ? 'cancelled' : 'stop', promptTokens, completionTokens: 0 };
}

async function embed(
  inputs: readonly (string | readonly number[])[],
  { loaded, evaluating, cancelled, count, values }: TaskOptions,
): Promise<void> {
  const embedder = await evaluating(loaded.embedder()).catch(unsupported);
  for (const [from, input] of inputs.entries()) {
    if (cancelled.aborted) return;
    const given = typeof input === 'string' ? input : ([...input] as Token[]);
    const length = embedder.calculateInputLength(typeof given === 'string' ? given : [...given]);
    checkLength(length, loaded, `input ${from}`);
    count(length);
    const { vector } = await evaluating(embedder.getEmbeddingFor(given));
    values({ from, vectors: [bytesOf(unit(vector))] });
  }
}

async function rank(
  { query, documents }: Extract<ModelTask, { kind: 'rerank' }>,
  { loaded, evaluating, cancelled, count, values }: TaskOptions,
): Promise<void> {
  const ranker = await evaluating(loaded.ranker()).catch(unsupported);
  const queryLength = loaded.model.tokenize(query).length;
  for (const [from, document] of documents.entries()) {
    if (cancelled.aborted) return;
    const length = queryLength + loaded.model.tokenize(document).length;
    checkLength(length, loaded, `query and document ${from}`);
    count(length);
    values({ from, scores: [await evaluating(ranker.rank(query, document))] });
  }
}

/**
 * Teacher-forced: the tokens are put behind the prompt as if the model had chosen them, and at each place its distribution is read.
 * Many places are computed at once, so this is much less work than choosing them was.
 */
async function score(task: ScoreTask, options: TaskOptions): Promise<void> {
  const { loaded, pool, cancelled, evaluating, count, values } = options;
  const prompt = options.promptOf({ ...task, resume: { tokens: task.tokens, textLength: 0 } });
  count(prompt.length + task.tokens.length);
  const tokens = task.tokens.map((token) => token as Token);
  const vocabulary = loaded.model.fileInfo.metadata.tokenizer?.ggml?.tokens.length ?? 1;
  const atOnce = Math.max(1, Math.min(256, Math.floor(ENTRIES_AT_ONCE / vocabulary)));
  const { sequence, cached } = await pool.acquire(prompt, false);
  try {
    const last = prompt.length - 1;
    if (cached < last) await evaluating(sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(cached, last)));
    // Each token is judged by what the model says behind the one before it.
    const before = [...prompt.slice(last), ...tokens.slice(0, -1)];
    for (let from = 0; from < tokens.length && !cancelled.aborted; from += atOnce) {
      const rows = before.slice(from, from + atOnce);
      const wanted = { generateNext: { probabilities: true, options: { temperature: 1, topK: 0, topP: 1, minP: 0 } } };
      const results = await evaluating(sequence.controlledEvaluate(rows.map((token) => [token, wanted])));
      const logprobs: number[] = [];
      const gaps: number[] = [];
      for (const [i, result] of results.entries()) {
        const raw = result?.next.probabilities;
        const token = tokens[from + i];
        if (raw === undefined || token === undefined) throw new Error('the engine left a token out');
        const logprob = logprobOf(raw, token);
        let most = 0;
        for (const probability of raw.values()) if (probability > most) most = probability;
        logprobs.push(logprob);
        gaps.push(Math.max(0, Math.min(0, Math.log(most)) - logprob));
      }
      values({ from, logprobs, gaps });
    }
    pool.release(sequence);
  } catch (error) {
    await pool.discard(sequence);
    throw error;
  }
}

function unsupported(error: unknown): never {
  throw new Failure('UNSUPPORTED', `The model cannot do this: ${shortReason(error)}`);
}

function checkLength(length: number, { options }: LoadedModel, what: string): void {
  if (length >= options.contextSize)
    throw new Failure('CONTEXT_LENGTH', `The ${what} has ${length} tokens and the model's context holds ${options.contextSize}.`);
}

function unit(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector);
  return Float32Array.from(vector, (value) => (length === 0 ? 0 : value / length));
}

/** Little-endian, whatever the machine is. */
function bytesOf(vector: Float32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(vector.length * 4));
  for (const [i, value] of vector.entries()) view.setFloat32(i * 4, value, true);
  return new Uint8Array(view.buffer);
}
