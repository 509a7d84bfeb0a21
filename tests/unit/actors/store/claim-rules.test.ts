import { array, assert, constantFrom, integer, nat, property, record, uniqueArray } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { admissible, anyMayRun } from '#actors/store/claim-rules.ts';

const DEVICES = ['a', 'b', 'c', 'd'];

describe('anyMayRun', () => {
  it('asks for one device that is not barred', () => {
    expect(anyMayRun(['a', 'b'], ['a'])).toBe(true);
    expect(anyMayRun(['a', 'b'], ['b', 'a', 'c'])).toBe(false);
    expect(anyMayRun([], [])).toBe(false);
  });
});

describe('admissible', () => {
  const device = constantFrom(...DEVICES);
  const candidates = uniqueArray(record({ shardId: nat(5), wanted: integer({ min: 1, max: 3 }), barred: uniqueArray(device) }), {
    selector: ({ shardId }) => shardId,
  });
  const assignments = array(record({ shardId: nat(6), device }), { maxLength: 40 });

  it('takes what a shard wants, and nothing that it must not have', () => {
    assert(
      property(candidates, uniqueArray(device), assignments, (open, offered, asked) => {
        const rows = open.map((row) => ({ ...row, job: 'job', partition: 0, index: row.shardId, priority: 0 }));
        const taken = admissible(rows, offered, asked);
        for (const row of rows) {
          const devices = taken.filter(({ candidate }) => candidate.shardId === row.shardId).map((each) => each.device);
          const may = new Set(asked.filter(({ shardId }) => shardId === row.shardId).map((each) => each.device));
          const able = [...may].filter((each) => offered.includes(each) && !row.barred.includes(each));
          // The first ones asked for, each once, as many as are wanted.
          expect(devices).toEqual(able.slice(0, row.wanted));
        }
        expect(taken.every(({ candidate }) => rows.some((row) => row === candidate))).toBe(true);
      }),
    );
  });
});
