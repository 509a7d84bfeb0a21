import { describe, expect, it } from 'vitest';
import { backoffMs } from '#runtime/kernel/backoff.ts';

describe('backoff', () => {
  it.each([
    [1, 50],
    [2, 100],
    [3, 200],
    [7, 3_200],
    [8, 5_000],
    [2_000, 5_000],
  ])('waits before restart %i for %i ms without jitter', (attempt, ms) => {
    expect(backoffMs(attempt, { minMs: 50, maxMs: 5_000, jitter: 0 }, () => 0.9)).toBe(ms);
  });

  it.each([
    [0, 80],
    [0.5, 100],
    [0.999_999, 120],
  ])('varies by the jitter both ways (random %d)', (random, ms) => {
    expect(backoffMs(2, { minMs: 50, maxMs: 5_000, jitter: 0.2 }, () => random)).toBeCloseTo(ms, 3);
  });
});
