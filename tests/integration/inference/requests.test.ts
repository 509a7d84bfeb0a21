import { randomUUID } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import type { GenerationRequest, TokenLogprob } from '#actors/contract/generation.ts';
import type { InferenceHost } from '#agent/executors/inference/inference-host.ts';
import type { GenerationOutcome } from '#agent/executors/inference/running-generations.ts';

import { modelOnTrial, sampling } from './model-on-trial.ts';

interface Answer {
  readonly ids: number[];
  readonly text: string;
  readonly logprobs: TokenLogprob[];
  readonly end: GenerationOutcome;
}

function answer(model: InferenceHost, request: Partial<GenerationRequest>): Promise<Answer> {
  const ids: number[] = [];
  const logprobs: TokenLogprob[] = [];
  let text = '';
  return new Promise((resolve) => {
    const prompt = request.messages === undefined ? { prompt: 'Once upon a time there was a lighthouse' } : {};
    const handle = model.generate(
      { generation: randomUUID(), request: { ...prompt, sampling: sampling(), ...request } },
      {
        tokens(_from, more, shown, likelihoods = []) {
          ids.push(...more);
          logprobs.push(...likelihoods);
          text += shown;
          handle.credit(more.length);
        },
        ended: (end) => resolve({ ids, text, logprobs, end }),
      },
    );
  });
}

/** Hot enough that the answer does not end early and is different with each seed. */
const HOT = sampling({ temperature: 1.3, maxTokens: 24, seed: 5 });

describe('what a request may ask of the engine', () => {
  it('goes on elsewhere as it would have gone on here, when each position has its own seed', async () => {
    const { model } = await modelOnTrial({}, { sequences: 1 });
    await model.load();
    const wanted = { ...HOT, seedPerPosition: true };
    const whole = await answer(model, { sampling: wanted, deterministic: true });
    expect(whole.ids.length).toBeGreaterThan(8);
    const before = whole.ids.slice(0, 7);
    const rest = await answer(model, { sampling: wanted, deterministic: true, resume: { tokens: before, textLength: 3 } });
    expect([...before, ...rest.ids]).toEqual(whole.ids);
    expect(whole.text.slice(0, 3) + rest.text).toBe(whole.text);
    expect(rest.end).toMatchObject({ outcome: whole.end.outcome, completionTokens: whole.ids.length });
  });

  it('computes the beginning of a prompt once', async () => {
    const { model } = await modelOnTrial({}, { sequences: 2 });
    await model.load();
    const first = await answer(model, { sampling: sampling({ maxTokens: 1 }) });
    const again = await answer(model, { sampling: sampling({ maxTokens: 1 }) });
    expect(first.end).toMatchObject({ cachedTokens: 0 });
    expect(again.end).toMatchObject({ cachedTokens: again.end.promptTokens - 1 });
    expect(again.ids).toEqual(first.ids);
  });

  it('holds the answer to a grammar, also behind tokens of another device', async () => {
    const { model } = await modelOnTrial();
    await model.load();
    const grammar = 'root ::= "{\\"n\\": " [0-9] [0-9] [0-9] "}"';
    const whole = await answer(model, { sampling: { ...HOT, maxTokens: 60 }, grammar });
    expect(JSON.parse(whole.text)).toEqual({ n: expect.any(Number) });
    expect(whole.end.outcome).toBe('stop');
    const before = whole.ids.slice(0, 3);
    const rest = await answer(model, { sampling: { ...HOT, seed: 99, maxTokens: 60 }, grammar, resume: { tokens: before, textLength: 0 } });
    expect(JSON.parse(rest.text)).toEqual({ n: expect.any(Number) });
    expect(await answer(model, { grammar: 'root ::= (' })).toMatchObject({ end: { outcome: 'failed', code: 'GRAMMAR', retryable: false } });
  });

  it('tells how likely each token was, and the likeliest others', async () => {
    const { model } = await modelOnTrial();
    await model.load();
    const greedy = await answer(model, { sampling: sampling({ maxTokens: 5, logprobs: 3 }) });
    expect(greedy.logprobs.map((l) => l.token)).toEqual(greedy.ids);
    for (const { token, logprob, top } of greedy.logprobs) {
      expect(top).toHaveLength(3);
      expect(top[0]).toMatchObject({ token, logprob });
      expect(top.map((t) => t.logprob)).toEqual(top.map((t) => t.logprob).toSorted((a, b) => b - a));
    }
    expect((await answer(model, { sampling: sampling({ maxTokens: 5 }) })).ids).toEqual(greedy.ids);
  });

  it('bans and forces tokens', async () => {
    const { model } = await modelOnTrial();
    await model.load();
    const free = await answer(model, { sampling: sampling({ maxTokens: 1 }) });
    const [likeliest = 0] = free.ids;
    const banned = await answer(model, { sampling: sampling({ maxTokens: 8, logitBias: [{ token: likeliest, bias: -100 }] }) });
    expect(banned.ids).not.toContain(likeliest);
    const forced = await answer(model, { sampling: sampling({ maxTokens: 3, logitBias: [{ token: likeliest, bias: 100 }] }) });
    expect(forced.ids).toEqual([likeliest, likeliest, likeliest]);
  });

  it('refuses tokens that the model does not have', async () => {
    const { model } = await modelOnTrial();
    await model.load();
    const end = { outcome: 'failed', code: 'PROMPT', retryable: false };
    expect(await answer(model, { prompt: [2_000_000_000] })).toMatchObject({ end });
    expect(await answer(model, { resume: { tokens: [2_000_000_000], textLength: 0 } })).toMatchObject({ end });
  });
});
