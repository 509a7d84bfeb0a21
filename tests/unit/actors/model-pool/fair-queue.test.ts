import { describe, expect, it } from 'vitest';

import { FairQueue } from '#actors/model-pool/fair-queue.ts';

describe('the fair queue', () => {
  it('serves the key that had least, and each key in order', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'a2', 'a3']) queue.push('a', item);
    queue.push('b', 'b1');
    queue.charge('a', 10);
    expect(queue.keys()).toEqual(['b', 'a']);
    expect([queue.shift('b'), queue.shift('a'), queue.shift('a')]).toEqual(['b1', 'a1', 'a2']);
    expect(queue.size).toBe(1);
    expect(queue.shift('b')).toBeUndefined();
  });

  it('gives nothing for having been away: a new key starts at the level of those who wait', () => {
    const queue = new FairQueue<string>();
    queue.push('a', 'a1');
    queue.charge('a', 1_000);
    queue.push('b', 'b1');
    expect(queue.served('b')).toBe(999);
    queue.charge('b', 2);
    expect(queue.keys()).toEqual(['a', 'b']);
  });

  it('lets one leave from the middle, and empties', () => {
    const queue = new FairQueue<string>();
    for (const item of ['a1', 'a2', 'a3']) queue.push('a', item);
    expect(queue.remove((item) => item === 'a2')).toBe(true);
    expect(queue.remove((item) => item === 'a2')).toBe(false);
    expect([queue.first('a'), queue.waiting('a'), queue.size]).toEqual(['a1', 2, 2]);
    queue.shift('a');
    queue.shift('a');
    expect(queue.keys()).toEqual([]);
    expect(queue.size).toBe(0);
  });
});
