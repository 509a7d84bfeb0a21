import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { call } from '#tests/integration/doors/visitors.ts';

import { BABBLER, startConformanceGrid, type ConformanceGrid } from './conformance-grid.ts';

/**
 * Draws are as likely as the model says: Pearson's chi-square test of first tokens against the softmax that the same model reports, cut
 * and sharpened as asked. Seeds are fixed, so a run either passes always or never.
 */

const DRAWS = 1_024;
const CHOICES = 128;
const KEPT = 12;

/** The value that chi-square exceeds once in a thousand, by degrees of freedom (Wilson and Hilferty's approximation). */
function critical(freedom: number): number {
  const z = 3.0902;
  return freedom * (1 - 2 / (9 * freedom) + z * Math.sqrt(2 / (9 * freedom))) ** 3;
}

interface Choice {
  readonly logprobs: {
    readonly content: readonly { token: string; bytes: number[]; logprob: number; top_logprobs: { bytes: number[]; logprob: number }[] }[];
  };
}

describe('draws', () => {
  let under: ConformanceGrid;
  let likely: { token: string; logprob: number }[];

  beforeAll(async () => {
    under = await startConformanceGrid();
    const [choice] = await ask({ temperature: 0, top_logprobs: 20 });
    likely = (choice?.logprobs.content[0]?.top_logprobs ?? []).map(({ bytes, logprob }) => ({ token: String(bytes), logprob }));
    expect(likely).toHaveLength(20);
  });
  afterAll(() => under.end());

  async function ask(options: object): Promise<Choice[]> {
    const messages = [{ role: 'user', content: 'hi' }];
    const body = { model: BABBLER, messages, max_tokens: 1, logprobs: true, ...options };
    const { status, body: answered } = await call(under.grid.url, 'POST', '/v1/chat/completions', { key: under.key, body });
    expect(status, JSON.stringify(answered)).toBe(200);
    return answered['choices'] as Choice[];
  }

  async function drawn(options: object): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    for (let round = 0; round < DRAWS / CHOICES; round++) {
      for (const { logprobs } of await ask({ n: CHOICES, seed: 1_000 + round, ...options })) {
        const token = String(logprobs.content[0]?.bytes);
        counts.set(token, (counts.get(token) ?? 0) + 1);
      }
    }
    return counts;
  }

  /** Nothing but the kept tokens, and those as often as they should. */
  function expectSoftmax(
    counts: ReadonlyMap<string, number>,
    kept: readonly { token: string; logprob: number }[],
    temperature: number,
  ): void {
    const weights = kept.map(({ logprob }) => Math.exp(logprob / temperature));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const strangers = [...counts.keys()].filter((token) => kept.every((each) => each.token !== token));
    expect(strangers).toEqual([]);
    let square = 0;
    kept.forEach(({ token }, at) => {
      const expected = (DRAWS * (weights[at] ?? 0)) / sum;
      square += ((counts.get(token) ?? 0) - expected) ** 2 / expected;
    });
    expect(square).toBeLessThan(critical(kept.length - 1));
  }

  for (const temperature of [1, 0.6, 1.7]) {
    it(`follow the softmax at temperature ${temperature}, of the ${KEPT} likeliest`, async () => {
      expectSoftmax(await drawn({ temperature, top_k: KEPT }), likely.slice(0, KEPT), temperature);
    });
  }

  it('stay in the nucleus of top_p', async () => {
    // The engine cuts by top_k first, and top_p is a share of what is left.
    const all = likely.slice(0, KEPT);
    const sum = all.reduce((total, { logprob }) => total + Math.exp(logprob), 0);
    let share = 0;
    const size = all.findIndex(({ logprob }) => (share += Math.exp(logprob) / sum) > 0.85) + 1;
    expect(size).toBeGreaterThan(2);
    expectSoftmax(await drawn({ temperature: 1, top_k: KEPT, top_p: 0.85 }), all.slice(0, size), 1);
  });

  it('stay within min_p of the likeliest', async () => {
    const best = likely[0]?.logprob ?? 0;
    // Between two tokens, so that rounding decides nothing.
    const limit = ((likely[5]?.logprob ?? 0) + (likely[6]?.logprob ?? 0)) / 2;
    const kept = likely.filter(({ logprob }) => logprob > limit);
    expectSoftmax(await drawn({ temperature: 1, min_p: Math.exp(limit - best) }), kept, 1);
  });

  it('would not pass for another temperature', async () => {
    const counts = await drawn({ temperature: 1.7, top_k: KEPT });
    expect(() => expectSoftmax(counts, likely.slice(0, KEPT), 0.6)).toThrow();
  });
});
