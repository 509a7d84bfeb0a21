import { z } from 'zod';

import { MAX_SHARDS } from './primitives.ts';

/**
 * Parameters and the values each of them takes: one shard for every combination. Names are taken in byte order and the last one
 * varies fastest, so that shard i is the same combination however the grid was written down.
 */

const Name = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'expected a name of letters, digits, - and _ that begins with a letter');
const Value = z.union([z.string().max(4096), z.number(), z.boolean()], { error: 'expected text, a number, true or false' });

/** What every argument may name already. */
const TAKEN: ReadonlySet<string> = new Set(['shard', 'shards']);

export const ParameterGrid = z
  .record(Name, z.array(Value).min(1, 'expected at least one value').max(MAX_SHARDS))
  .superRefine((grid, context) => {
    const names = Object.keys(grid);
    for (const name of names.filter((n) => TAKEN.has(n)))
      context.addIssue({ code: 'custom', path: [name], message: `{${name}} is taken: call the parameter otherwise` });
    if (names.length === 0) context.addIssue({ code: 'custom', message: 'expected at least one parameter, such as `rate: [0.1, 0.2]`' });
    const size = gridSize(grid);
    if (size > MAX_SHARDS)
      context.addIssue({ code: 'custom', message: `the grid has ${size} combinations; ${MAX_SHARDS} are allowed: give fewer values` });
  });
export type ParameterGrid = z.infer<typeof ParameterGrid>;

export function gridSize(grid: Readonly<Record<string, readonly unknown[]>>): number {
  return Object.values(grid).reduce((product, values) => product * values.length, 1);
}

/** The combination of one shard, by the name of the parameter. */
export function combinationOf(grid: ParameterGrid, index: number): ReadonlyMap<string, string> {
  const combination = new Map<string, string>();
  let rest = index;
  for (const [name, values] of Object.entries(grid)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .toReversed()) {
    combination.set(name, String(values[rest % values.length]));
    rest = Math.floor(rest / values.length);
  }
  return combination;
}
