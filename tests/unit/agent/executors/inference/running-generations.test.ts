import { describe, expect, it } from 'vitest';

import { type GenerationOutcome, RunningGenerations } from '#agent/executors/inference/running-generations.ts';

const counts = { promptTokens: 3, completionTokens: 5 };

function setUp() {
  const book = new RunningGenerations();
  const seen: unknown[][] = [];
  const outcomes: GenerationOutcome[] = [];
  book.add('a', { tokens: (...batch) => seen.push(batch), ended: (outcome) => outcomes.push(outcome) });
  return { book, seen, outcomes };
}

describe('the book of running generations', () => {
  it('hands tokens on in their order and notices a gap', () => {
    const { book, seen } = setUp();
    expect(book.tokens('a', { from: 0, ids: [1, 2], text: 'x' })).toBe(true);
    expect(book.tokens('a', { from: 2, ids: [3], text: 'y' })).toBe(true);
    expect(book.tokens('a', { from: 5, ids: [9], text: 'z' })).toBe(false);
    expect(seen).toEqual([[0, [1, 2], "x", undefined], [2, [3], "y", undefined]]); // prettier-ignore
  });

  it('ends each of them once and hears nothing after that', () => {
    const { book, seen, outcomes } = setUp();
    book.end('a', { outcome: 'stop', ...counts }, false);
    book.end('a', { outcome: 'length', ...counts }, false);
    book.failAll('HOST_LOST', 'gone');
    expect(book.tokens('a', { from: 0, ids: [1], text: 'x' })).toBe(true);
    expect(outcomes).toEqual([{ outcome: 'stop', ...counts, retryable: false }]);
    expect(seen).toEqual([]);
    expect(book.size).toBe(0);
  });

  it('says what may be tried again', () => {
    for (const [code, retryable] of [
      ['HOST_LOST', true],
      ['BUSY', true],
      ['ENGINE', true],
      ['CONTEXT_LENGTH', false],
      ['PROMPT', false],
    ] as const) {
      const { book, outcomes } = setUp();
      book.end('a', { outcome: 'failed', code, reason: 'r', ...counts }, false);
      expect(outcomes).toEqual([{ outcome: 'failed', code, reason: 'r', ...counts, retryable }]);
    }
  });

  it('counts what had arrived when the host was lost', () => {
    const { book, outcomes } = setUp();
    book.tokens('a', { from: 0, ids: [1, 2, 3], text: 'x' });
    book.failAll('HOST_LOST', 'gone');
    expect(outcomes).toEqual([
      { outcome: 'failed', code: 'HOST_LOST', reason: 'gone', promptTokens: 0, completionTokens: 3, retryable: true },
    ]);
  });

  it('tells a cancellation by the consumer from one by an unload', () => {
    const unloaded = setUp();
    unloaded.book.end('a', { outcome: 'cancelled', ...counts }, true);
    expect(unloaded.outcomes[0]).toMatchObject({ outcome: 'failed', code: 'UNLOADED', retryable: true });
    const cancelled = setUp();
    cancelled.book.cancel('a');
    cancelled.book.end('a', { outcome: 'cancelled', ...counts }, true);
    expect(cancelled.outcomes[0]).toEqual({ outcome: 'cancelled', ...counts, retryable: false });
  });
});
