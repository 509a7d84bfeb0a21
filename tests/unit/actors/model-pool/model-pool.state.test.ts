import { describe, expect, it } from 'vitest';

import { bestFor, loadable, RETRY_MS, type Replica } from '#actors/model-pool/model-pool.state.ts';
import { WarmPrompts } from '#actors/model-pool/warm-prompts.ts';

function replica(device: string, change: Partial<Replica>): Replica {
  return {
    device,
    state: 'ready',
    memoryBytes: 0,
    active: 0,
    failedAt: 0,
    retryMs: RETRY_MS,
    capacity: 8,
    draining: false,
    avoided: false,
    retiring: false,
    reason: '',
    ...change,
  };
}

const warm = (device: string, change: Partial<Replica>, ...prompts: number[][]) => {
  const known = new WarmPrompts(2);
  for (const prompt of prompts) known.used(prompt);
  return { ...replica(device, change), warm: known };
};
const blocks = (length: number, from = 0): number[] => Array.from({ length }, (_, i) => from + i);

describe('choosing a replica', () => {
  it('takes the one that knows the beginning of the prompt, unless it has too much to do', () => {
    const knows = (active: number) => [warm('a', {}), warm('b', { active }, blocks(20))];
    const chosen = [0, 4, 6, 7].map((active) => bestFor(blocks(24), knows(active), [])?.device);
    expect(chosen).toEqual(['b', 'b', 'a', 'a']);
  });

  it('does not take from one chat to give to another while sequences are empty', () => {
    const instructions = blocks(5);
    const full = warm('a', {}, [...instructions, ...blocks(20, 100)], [...instructions, ...blocks(20, 200)]);
    const other = [...instructions, ...blocks(4, 300)];
    expect(bestFor(other, [full, warm('b', {}, blocks(9, 900))], [])?.device).toBe('b');
    expect(bestFor([...instructions, ...blocks(24, 200)], [full, warm('b', {})], [])?.device).toBe('a');
  });

  it('takes the ready one with fewest generations, the lower id among equals', () => {
    const replicas = [warm('c', { active: 1 }), warm('b', {}), warm('a', {}), warm('0', { state: 'loading' })];
    expect(bestFor([], replicas, [])?.device).toBe('a');
    expect(bestFor([], replicas, ['a'])?.device).toBe('b');
    expect(bestFor([], [warm('a', { state: 'failed' }), warm('b', { active: 8 }), warm('c', { draining: true })], [])).toBeUndefined();
    // One on its battery serves when nobody else can.
    expect(bestFor([], [warm('a', { avoided: true }), warm('b', { active: 3 })], [])?.device).toBe('b');
    expect(bestFor([], [warm('a', { avoided: true }), warm('b', { active: 8 })], [])?.device).toBe('a');
  });

  it('loads one that nobody tried, and a failed one only after a while', () => {
    const failed = replica('a', { state: 'failed', failedAt: 1_000 });
    expect(loadable([failed], 1_000 + RETRY_MS - 1)).toBeUndefined();
    expect(loadable([failed], 1_000 + RETRY_MS)?.device).toBe('a');
    expect(loadable([failed, replica('b', { state: 'offered' })], 1_001)?.device).toBe('b');
  });
});
