import { describe, expect, it } from 'vitest';

import { WarmPrompts } from '#actors/model-pool/warm-prompts.ts';

const blocks = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => from + i);

describe('what a replica holds', () => {
  it('is the last prompts, one for each sequence, and the oldest is forgotten when all are taken', () => {
    const book = new WarmPrompts(2);
    for (const from of [0, 100, 200]) book.used(blocks(10, from));
    expect(book.cold).toBe(0);
    // Two blocks are new in each; the first chat is gone, and its return costs what another holds.
    expect([200, 100, 0].map((from) => book.cost(blocks(12, from)))).toEqual([2, 2, 22]);
    book.forget();
    expect(book.cold).toBe(2);
    expect(book.cost(blocks(12, 200))).toBe(12);
  });

  it('is the longer prompt in the place of its beginning, and both where they only begin alike', () => {
    const book = new WarmPrompts(3);
    book.used(blocks(10));
    book.used(blocks(14));
    expect(book.cold).toBe(2);
    book.used([...blocks(3), ...blocks(9, 100)]);
    expect(book.cold).toBe(1);
    expect(book.cost(blocks(15))).toBe(1);
  });
});
