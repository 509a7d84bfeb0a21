import { randomUUID } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import type { GenerationRequest, ModelTask } from '#actors/contract/generation.ts';
import type { TaskValues } from '#agent/executors/inference/host-protocol.ts';
import type { InferenceHost } from '#agent/executors/inference/inference-host.ts';
import type { GenerationOutcome } from '#agent/executors/inference/running-generations.ts';

import { type ModelOnTrial, modelOnTrial, sampling } from './model-on-trial.ts';

const PROMPT = 'Once upon a time there was a lighthouse';

interface Computed {
  readonly values: TaskValues[];
  readonly end: GenerationOutcome;
}

function compute(model: InferenceHost, task: ModelTask): Promise<Computed> {
  const values: TaskValues[] = [];
  return new Promise((resolve) => {
    model.compute(
      { generation: randomUUID(), task },
      { tokens: () => expect.unreachable('a task has no tokens'), values: (v) => values.push(v), ended: (end) => resolve({ values, end }) },
    );
  });
}

function tokensOf(model: InferenceHost, request: Partial<GenerationRequest>): Promise<number[]> {
  const ids: number[] = [];
  return new Promise((resolve) => {
    const handle = model.generate(
      { generation: randomUUID(), request: { prompt: PROMPT, sampling: sampling(), ...request } },
      {
        tokens(_from, more) {
          ids.push(...more);
          handle.credit(more.length);
        },
        ended: () => resolve(ids),
      },
    );
  });
}

async function loadedModel(seed = 1): Promise<ModelOnTrial> {
  const trial = await modelOnTrial({ seed }, { sequences: 2 });
  await trial.model.load();
  return trial;
}

const gapsOf = ({ values }: Computed): number[] => values.flatMap((v) => v.gaps ?? []);
const vectorsOf = ({ values }: Computed): Float32Array[] =>
  values.flatMap((v) => v.vectors ?? []).map((bytes) => new Float32Array(Uint8Array.from(bytes).buffer));
const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0);

describe('tasks on a model', () => {
  it('computes one vector of unit length for each input, the same for the same text', async () => {
    const { model } = await loadedModel();
    const result = await compute(model, { kind: 'embedding', inputs: ['a lighthouse', 'a keeper', 'a lighthouse', [40, 41, 42]] });
    expect(result.end).toMatchObject({ outcome: 'stop', completionTokens: 0 });
    expect(result.end.promptTokens).toBeGreaterThan(8);
    expect(result.values.map((v) => v.from)).toEqual([0, 1, 2, 3]);
    const [one, other, again, tokens] = vectorsOf(result);
    if (one === undefined || other === undefined || again === undefined || tokens === undefined) throw new Error('a vector is missing');
    for (const vector of [one, other, tokens]) expect(dot(vector, vector)).toBeCloseTo(1, 5);
    expect(dot(one, again)).toBeCloseTo(1, 5);
    expect(dot(one, other)).toBeLessThan(0.9999);
  });

  it('finds what a model said likeliest by itself, in one prefill, and what it did not', async () => {
    const { model } = await loadedModel();
    const tokens = await tokensOf(model, {});
    const honest = await compute(model, { kind: 'score', prompt: PROMPT, tokens });
    expect(honest.end).toMatchObject({ outcome: 'stop' });
    expect(honest.values.flatMap((v) => v.logprobs ?? [])).toHaveLength(tokens.length);
    expect(Math.max(...gapsOf(honest))).toBeLessThan(0.01);
    const forged = tokens.with(20, (tokens[20] ?? 0) === 60 ? 61 : 60);
    const caught = gapsOf(await compute(model, { kind: 'score', prompt: PROMPT, tokens: forged }));
    expect(caught[20]).toBeGreaterThan(0.05);
    expect(Math.max(...caught.slice(0, 20))).toBeLessThan(0.01);
  });

  it('agrees with the log-probabilities that came with the answer', async () => {
    const { model } = await loadedModel();
    const told: number[] = [];
    const ids: number[] = [];
    await new Promise<void>((resolve) => {
      const request = { prompt: PROMPT, sampling: sampling({ temperature: 1, logprobs: 0, maxTokens: 20 }) };
      const handle = model.generate(
        { generation: randomUUID(), request },
        {
          tokens(_from, more, _text, logprobs = []) {
            ids.push(...more);
            told.push(...logprobs.map(({ logprob }) => logprob));
            handle.credit(more.length);
          },
          ended: () => resolve(),
        },
      );
    });
    const scored = await compute(model, { kind: 'score', prompt: PROMPT, tokens: ids });
    for (const [i, logprob] of scored.values.flatMap((v) => v.logprobs ?? []).entries()) expect(logprob).toBeCloseTo(told[i] ?? 0, 2);
  });

  it('knows another model by its likelihoods', async () => {
    const { model } = await loadedModel();
    const tokens = await tokensOf(model, {});
    const other = await loadedModel(2);
    const gaps = gapsOf(await compute(other.model, { kind: 'score', prompt: PROMPT, tokens }));
    expect(gaps.filter((gap) => gap > 0.05).length).toBeGreaterThan(tokens.length / 2);
  });

  it('says what it cannot do, and runs beside generations', async () => {
    const { model } = await loadedModel();
    const rerank = await compute(model, { kind: 'rerank', query: 'light', documents: ['a', 'b'] });
    expect(rerank.end).toMatchObject({ outcome: 'failed', code: 'UNSUPPORTED', retryable: false });
    const long = 'lighthouse '.repeat(3_000);
    expect((await compute(model, { kind: 'embedding', inputs: ['a', long] })).end).toMatchObject({ code: 'CONTEXT_LENGTH' });
    expect((await compute(model, { kind: 'score', prompt: long, tokens: [1] })).end).toMatchObject({ code: 'CONTEXT_LENGTH' });
    expect((await compute(model, { kind: 'score', prompt: 'a', tokens: [999_999] })).end).toMatchObject({ code: 'PROMPT' });
    const [ids, embedded] = await Promise.all([tokensOf(model, {}), compute(model, { kind: 'embedding', inputs: ['a', 'b', 'c'] })]);
    expect(ids).toHaveLength(40);
    expect(vectorsOf(embedded)).toHaveLength(3);
  });

  it('ends a task that is cancelled or whose process dies', async () => {
    const { model } = await loadedModel();
    const inputs = Array.from({ length: 200 }, (_, i) => `lighthouse number ${i} of many`);
    const seen = Promise.withResolvers<void>();
    const over = Promise.withResolvers<GenerationOutcome>();
    const handle = model.compute(
      { generation: randomUUID(), task: { kind: 'embedding', inputs } },
      { tokens() {}, values: () => seen.resolve(), ended: over.resolve },
    );
    await seen.promise;
    handle.cancel();
    expect(await over.promise).toMatchObject({ outcome: 'cancelled' });
    const lost = compute(model, { kind: 'embedding', inputs });
    process.kill(model.pid ?? 0, 'SIGKILL');
    expect((await lost).end).toMatchObject({ outcome: 'failed', code: 'HOST_LOST', retryable: true });
  });
});
