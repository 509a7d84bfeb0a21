import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { place } from '#actors/placement/placement.state.ts';
import type { Candidate } from '#actors/store/store.ts';

function candidate(shardId: number, wanted: number, barred: string[] = []): Candidate {
  return { shardId, job: 'job', partition: 0, index: shardId, wanted, priority: 0, barred };
}

describe('placement', () => {
  it('gives each wanted attempt of a shard another device, the freest first', () => {
    expect(
      place(
        [candidate(1, 2)],
        new Map([
          ['a', 1],
          ['b', 3],
          ['c', 2],
        ]),
      ),
    ).toEqual([
      { shardId: 1, device: 'b' },
      { shardId: 1, device: 'c' },
    ]);
  });

  it('leaves out barred devices and goes on with the next shard', () => {
    expect(place([candidate(1, 1, ['a']), candidate(2, 1)], new Map([['a', 1]]))).toEqual([{ shardId: 2, device: 'a' }]);
  });

  it('breaks equal loads to the lower id', () => {
    expect(
      place(
        [candidate(1, 1)],
        new Map([
          ['b', 1],
          ['a', 1],
        ]),
      ),
    ).toEqual([{ shardId: 1, device: 'a' }]);
  });

  it('never gives a device more than its slots, a shard two attempts on one device, or a barred device anything', () => {
    const device = fc.constantFrom('a', 'b', 'c', 'd');
    const candidates = fc.array(fc.record({ wanted: fc.integer({ min: 1, max: 4 }), barred: fc.uniqueArray(device) }), { maxLength: 20 });
    const slots = fc.dictionary(device, fc.integer({ min: 0, max: 5 }));
    fc.assert(
      fc.property(candidates, slots, (wants, free) => {
        const shards = wants.map(({ wanted, barred }, i) => candidate(i, wanted, barred));
        const placed = place(shards, new Map(Object.entries(free)));
        for (const [name, count] of Object.entries(free)) expect(placed.filter((p) => p.device === name).length).toBeLessThanOrEqual(count);
        for (const shard of shards) {
          const devices = placed.filter((p) => p.shardId === shard.shardId).map((p) => p.device);
          expect(new Set(devices).size).toBe(devices.length);
          expect(devices.length).toBeLessThanOrEqual(shard.wanted);
          expect(devices.filter((d) => shard.barred.includes(d))).toEqual([]);
        }
      }),
    );
  });
});
