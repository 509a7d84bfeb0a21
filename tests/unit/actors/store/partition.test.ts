import { describe, expect, it } from 'vitest';

import { partitionOf } from '#actors/store/partition.ts';
import { PARTITIONS } from '#actors/store/store.ts';

describe('partitionOf', () => {
  it('never changes: databases remember it', () => {
    const ids = ['c0ffee00-0000-4000-8000-000000000001', '00000000-0000-0000-0000-000000000000', ''];
    expect(ids.map(partitionOf)).toEqual([0xdb, 0x12, 0xe3]);
  });

  it('spreads ids that begin alike over all partitions', () => {
    const counts = new Map<number, number>();
    for (let n = 0; n < 64 * PARTITIONS; n++) {
      const partition = partitionOf(`0192f3a0-0000-7000-8000-${n.toString(16).padStart(12, '0')}`);
      counts.set(partition, (counts.get(partition) ?? 0) + 1);
    }
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: PARTITIONS }, (_, i) => i));
    expect(Math.max(...counts.values())).toBeLessThan(128);
  });
});
