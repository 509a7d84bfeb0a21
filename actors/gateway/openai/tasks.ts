import type { ModelTask } from '#actors/contract/generation.ts';
import type { TaskValues } from '#actors/generation/generation.actor.ts';
import { GridError } from '#runtime/errors.ts';

import { type Call, enter, type OpenAiContext, type Whole } from './endpoint.ts';
import { generationRefused, openAiError, type OpenAiErrorReply } from './errors.ts';
import { parseEmbeddingRequest, parseRerankRequest } from './schema-others.ts';

/** `POST /v1/embeddings` and `POST /v1/rerank`: work whose result is numbers. */

type TaskEnd = { readonly ok: true; readonly promptTokens: number } | { readonly ok: false; readonly error: OpenAiErrorReply };

async function runTask(
  context: OpenAiContext,
  call: Call,
  { model, task, param }: { model: string; task: ModelTask; param: string },
  take: (values: TaskValues) => void,
): Promise<Omit<Whole, 'over'> & { readonly ended: Promise<TaskEnd>; readonly device: () => { device?: string } }> {
  const { found, admitted } = await enter(context, call, model, 0);
  const { promise, resolve } = Promise.withResolvers<TaskEnd>();
  let device: string | undefined;
  const ref = context.args.generate({
    generation: context.args.randomId(),
    model: found.model.name,
    modelFile: found.model.sha256,
    pool: found.pool,
    work: { task },
    usage: { tenant: call.by.tenant, apiKey: call.by.keyId },
    sink: {
      started: (where) => void (device ??= where),
      text: () => {},
      values: take,
      ended({ finish, promptTokens }) {
        admitted.settle(promptTokens);
        if (finish !== 'cancelled') return resolve({ ok: true, promptTokens });
        return resolve({ ok: false, error: openAiError(new GridError('UNREACHABLE', 'the request was cancelled'), call.requestId) });
      },
      failed(error) {
        admitted.settle(0);
        resolve({ ok: false, error: openAiError(error, call.requestId) });
      },
      refused(why) {
        admitted.settle(0);
        resolve({ ok: false, error: generationRefused(why, found.model.contextSize, param) });
      },
    },
  });
  return {
    headers: admitted.headers,
    cancel: () => void ref.cancel(),
    ended: promise,
    device: () => (device === undefined ? {} : { device }),
  };
}

/** Cut to so many dimensions and made unit length again, as OpenAI does. */
function shortened(vector: Float32Array, dimensions: number | undefined): Float32Array {
  if (dimensions === undefined || dimensions >= vector.length) return vector;
  const cut = vector.slice(0, dimensions);
  const length = Math.hypot(...cut);
  return length === 0 ? cut : cut.map((value) => value / length);
}

function floats(bytes: Uint8Array): Float32Array {
  // A copy: the bytes may stand at an odd place in a larger buffer.
  return new Float32Array(Uint8Array.from(bytes).buffer);
}

/** @throws what `openAiError` can show */
export async function embeddingWhole(context: OpenAiContext, call: Call): Promise<Whole> {
  const { model, task, base64, dimensions } = parseEmbeddingRequest(call.body);
  const vectors: Float32Array[] = [];
  const run = await runTask(context, call, { model, task, param: 'input' }, (values) => {
    for (const bytes of values.vectors ?? []) vectors.push(shortened(floats(bytes), dimensions));
  });
  return {
    ...run,
    over: run.ended.then((end) => {
      if (!end.ok) return { ...end.error, ...run.device() };
      const data = vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: base64 ? Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64') : [...vector],
      }));
      const usage = { prompt_tokens: end.promptTokens, total_tokens: end.promptTokens };
      return { status: 200, body: { object: 'list', data, model, usage }, ...run.device() };
    }),
  };
}

/** @throws what `openAiError` can show */
export async function rerankWhole(context: OpenAiContext, call: Call): Promise<Whole> {
  const { model, task, documents, topN, returnDocuments } = parseRerankRequest(call.body);
  const scores: number[] = [];
  const run = await runTask(context, call, { model, task, param: 'documents' }, (values) => void scores.push(...(values.scores ?? [])));
  const id = `rerank-${context.args.randomId()}`;
  return {
    ...run,
    over: run.ended.then((end) => {
      if (!end.ok) return { ...end.error, ...run.device() };
      const results = scores
        .map((score, index) => ({
          index,
          relevance_score: score,
          ...(returnDocuments ? { document: { text: documents[index] ?? '' } } : {}),
        }))
        .sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index)
        .slice(0, topN);
      const usage = { prompt_tokens: end.promptTokens, total_tokens: end.promptTokens };
      return { status: 200, body: { id, object: 'list', model, results, usage }, ...run.device() };
    }),
  };
}
