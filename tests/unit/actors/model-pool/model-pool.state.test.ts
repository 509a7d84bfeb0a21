import { describe, expect, it } from 'vitest';

import { leastLoaded, loadable, RETRY_MS, type Replica } from '#actors/model-pool/model-pool.state.ts';

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
    reason: '',
    ...change,
  };
}

describe('choosing a replica', () => {
  it('takes the ready one with fewest generations, the lower id among equals', () => {
    const replicas = [replica('c', { active: 1 }), replica('b', {}), replica('a', {}), replica('0', { state: 'loading' })];
    expect(leastLoaded(replicas)?.device).toBe('a');
    expect(leastLoaded([replica('a', { state: 'failed' })])).toBeUndefined();
  });

  it('loads one that nobody tried, and a failed one only after a while', () => {
    const failed = replica('a', { state: 'failed', failedAt: 1_000 });
    expect(loadable([failed], 1_000 + RETRY_MS - 1)).toBeUndefined();
    expect(loadable([failed], 1_000 + RETRY_MS)?.device).toBe('a');
    expect(loadable([failed, replica('b', { state: 'offered' })], 1_001)?.device).toBe('b');
  });
});
