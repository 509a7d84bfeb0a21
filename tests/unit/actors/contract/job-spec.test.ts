import { describe, expect, it } from 'vitest';

import { explainIssues } from '#actors/contract/explain.ts';
import { argumentsOf, JobSpec, mapShardCount, needsOf, shardCount } from '#actors/contract/job-spec.ts';

const module = { sha256: '0'.repeat(64), size: 1 };
const LEAST = { version: 1, name: 'sweep', kind: 'wasm', module };
const OTHER = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';
const THIRD = '0f6d1c52-3b7a-4c55-8a44-5d1f0c9b7e21';

describe('a grid of parameters', () => {
  const spec = JobSpec.parse({
    ...LEAST,
    args: ['--rate={rate}', '{mode}', '{shard}/{shards}', '{unknown}'],
    shards: { grid: { rate: [0.1, 0.2], mode: ['a', '{rate}', true] } },
    merge: { module, args: ['{rate}', '{shards}'] },
  });

  it('has a shard for each combination, and tells it the values', () => {
    expect(mapShardCount(spec)).toBe(6);
    expect(shardCount(spec)).toBe(7);
    const all = Array.from({ length: 6 }, (_, index) => argumentsOf(spec, index).slice(0, 3));
    // In byte order of the names, the last one fastest. A value that looks like a placeholder is a value.
    expect(all).toEqual([
      ['--rate=0.1', 'a', '0/6'],
      ['--rate=0.2', 'a', '1/6'],
      ['--rate=0.1', '{rate}', '2/6'],
      ['--rate=0.2', '{rate}', '3/6'],
      ['--rate=0.1', 'true', '4/6'],
      ['--rate=0.2', 'true', '5/6'],
    ]);
    expect(argumentsOf(spec, 0)[3]).toBe('{unknown}');
    expect(argumentsOf(spec, 6)).toEqual(['{rate}', '6']);
  });

  it('is the same however it was written down', () => {
    const turned = { ...spec, shards: { grid: { mode: ['a', '{rate}', true], rate: [0.1, 0.2] } } };
    for (let index = 0; index < 6; index++) expect(argumentsOf(turned, index)).toEqual(argumentsOf(spec, index));
  });

  it('may have a million combinations and not one more; each parameter is named by an argument', () => {
    const values = Array.from({ length: 1_000 }, (_, n) => n);
    const large = { ...LEAST, args: ['{a}', '{b}'], shards: { grid: { a: values, b: values } } };
    expect(mapShardCount(JobSpec.parse(large))).toBe(1_000_000);
    const complaint = (spec: unknown): string => {
      const result = JobSpec.safeParse(spec);
      if (result.success) throw new Error('the spec was accepted');
      const { path, message } = explainIssues(result.error);
      return `${path}: ${message}`;
    };
    expect(complaint({ ...large, shards: { grid: { a: values, b: [...values, -1] } } })).toBe(
      'shards.grid: the grid has 1001000 combinations; 1000000 are allowed: give fewer values',
    );
    expect(complaint({ ...large, args: ['{a}'] })).toBe('shards.grid.b: no argument says {b}: name it in args, or leave it out');
  });
});

it('a job that works on the outputs of another one needs it', () => {
  const spec = JobSpec.parse({ ...LEAST, shards: { outputsOf: OTHER }, needs: [THIRD, OTHER] });
  expect(needsOf(spec)).toEqual([THIRD, OTHER]);
  expect(needsOf({ ...spec, needs: [] })).toEqual([OTHER]);
  expect(() => mapShardCount(spec)).toThrow('not counted');
  expect(mapShardCount({ ...spec, shards: { outputsOf: OTHER, count: 3 } })).toBe(3);
});
