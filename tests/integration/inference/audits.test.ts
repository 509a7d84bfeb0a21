import { randomUUID } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import type { GenerationRequest } from '#actors/contract/generation.ts';
import type { InferenceHost } from '#agent/executors/inference/inference-host.ts';
import { FAR } from '#agent/executors/inference/token-deviation.ts';

import { modelOnTrial, sampling } from './model-on-trial.ts';

const PROMPT = 'Once upon a time there was a lighthouse';
/** What the decision about audits allows. */
const NEAR = 0.02;

interface Answer {
  readonly request: GenerationRequest;
  readonly tokens: number[];
  readonly outcome: 'stop' | 'length';
}

function answer(model: InferenceHost, request: GenerationRequest): Promise<Answer> {
  const tokens: number[] = [];
  return new Promise((resolve, reject) => {
    const handle = model.generate(
      { generation: randomUUID(), request },
      {
        tokens(_from, more) {
          tokens.push(...more);
          handle.credit(more.length);
        },
        ended: (end) =>
          end.outcome === 'stop' || end.outcome === 'length'
            ? resolve({ request, tokens, outcome: end.outcome })
            : reject(new Error(JSON.stringify(end))),
      },
    );
  });
}

function gapsOf(model: InferenceHost, { request, tokens, outcome }: Answer): Promise<number[]> {
  const gaps: number[] = [];
  return new Promise((resolve, reject) => {
    model.compute(
      { generation: randomUUID(), task: { kind: 'audit', request, tokens, outcome } },
      {
        tokens: () => expect.unreachable('a task has no tokens'),
        values: (v) => gaps.push(...(v.gaps ?? [])),
        ended: (end) => (end.outcome === 'stop' ? resolve(gaps) : reject(new Error(JSON.stringify(end)))),
      },
    );
  });
}

const worst = (gaps: readonly number[]): number => Math.max(...gaps);

const REQUESTS: Record<string, Partial<GenerationRequest>> = {
  'the likeliest tokens': {},
  'seeded draws': { sampling: sampling({ temperature: 1, seed: 7, seedPerPosition: true }) },
  'draws among a few': { sampling: sampling({ temperature: 0.8, topK: 20, topP: 0.9, minP: 0.01, seed: 9, seedPerPosition: true }) },
  'draws that are reported': { sampling: sampling({ temperature: 1, topP: 0.9, seed: 11, logprobs: 2, seedPerPosition: true }) },
  'penalties and biases': {
    sampling: sampling({
      frequencyPenalty: 0.5,
      presencePenalty: 0.5,
      logitBias: [
        { token: 40, bias: 3 },
        { token: 41, bias: -100 },
      ],
    }),
  },
  'a grammar': { grammar: 'root ::= [a-z ]+ "." [a-z ]*', sampling: sampling({ temperature: 1, seed: 5, seedPerPosition: true }) },
};

describe('audits of answers', () => {
  it.each(Object.keys(REQUESTS))('finds an answer right that the model gave itself: %s', async (name) => {
    const { model } = await modelOnTrial({ seed: 1 }, { sequences: 2 });
    await model.load();
    const honest = await answer(model, { prompt: PROMPT, sampling: sampling(), ...REQUESTS[name] });
    const gaps = await gapsOf(model, honest);
    expect(gaps).toHaveLength(honest.tokens.length + 1);
    expect(worst(gaps)).toBeLessThan(NEAR);
  });

  it('finds many answers right at once, beside others that are being written', async () => {
    const { model } = await modelOnTrial({ seed: 1 }, { sequences: 6 });
    await model.load();
    const request = (n: number) => ({
      prompt: `${PROMPT} number ${n}`,
      sampling: sampling({ temperature: n % 2, seed: n, maxTokens: 30 + n, seedPerPosition: true }),
    });
    const first = await Promise.all(Array.from({ length: 24 }, (_, n) => answer(model, request(n))));
    const [audits, second] = await Promise.all([
      Promise.all(first.map((honest) => gapsOf(model, honest))),
      Promise.all(Array.from({ length: 24 }, (_, n) => answer(model, request(100 + n)))),
    ]);
    expect(Math.max(...audits.map(worst))).toBeLessThan(NEAR);
    for (const honest of second) expect(worst(await gapsOf(model, honest))).toBeLessThan(NEAR);
  });

  it('finds one altered token, an end that came too soon, another prompt, and another model', async () => {
    const { model } = await modelOnTrial({ seed: 1 }, { sequences: 2 });
    const other = await modelOnTrial({ seed: 2 });
    await model.load();
    await other.model.load();
    for (const temperature of [0, 1]) {
      const request = { prompt: PROMPT, sampling: sampling({ temperature, seed: 3, seedPerPosition: true }) };
      const honest = await answer(model, request);
      const altered = honest.tokens.with(20, ((honest.tokens[20] ?? 0) + 1) % 300);
      expect(worst(await gapsOf(model, { ...honest, tokens: altered }))).toBeGreaterThan(1);
      const short = { ...honest, tokens: honest.tokens.slice(0, 10), outcome: 'stop' as const };
      expect((await gapsOf(model, short)).at(-1)).toBeGreaterThan(1);
      const elsewhere = { ...honest, request: { ...request, prompt: 'Another prompt' } };
      expect(worst(await gapsOf(model, elsewhere))).toBeGreaterThan(1);
      expect(worst(await gapsOf(other.model, honest))).toBeGreaterThan(1);
    }
  });

  it('finds tokens behind a stop string and behind the end of the model', async () => {
    const { model } = await modelOnTrial({ seed: 1 });
    await model.load();
    const honest = await answer(model, { prompt: PROMPT, sampling: sampling() });
    const whole = await gapsOf(model, honest);
    expect(worst(whole)).toBeLessThan(NEAR);
    // Everything stops at the first character.
    const request = { ...honest.request, sampling: { ...honest.request.sampling, stop: ['e', 'a', 'o', ' ', 'w'] } };
    const stopped = await answer(model, request);
    expect(stopped.outcome).toBe('stop');
    expect(worst(await gapsOf(model, stopped))).toBeLessThan(NEAR);
    expect(worst(await gapsOf(model, { ...honest, request }))).toBe(FAR);
  });
});
