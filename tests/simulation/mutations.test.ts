import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { mutate } from './mutation.ts';
import { MUTATIONS } from './mutations.ts';
import { runSeeds } from './run-seeds.ts';

/** When the seed of the list does not notice the defect any more: so many others are tried before it counts as unseen. */
const OTHERS = 400;
const ROOT = path.resolve(import.meta.dirname, '../..');

describe('the simulation', () => {
  it.each(MUTATIONS)('notices when $name', { timeout: 240_000 }, async (mutation) => {
    // Says by itself when the place is gone, before threads are started for nothing.
    mutate(await readFile(path.join(ROOT, mutation.file), 'utf8'), mutation);
    const { world, seed } = mutation;
    const play = { worlds: [world], threads: 1, mutation, stopAtFailure: true };
    const known = await runSeeds({ ...play, from: seed, to: seed });
    const seen = known.told.length > 0 ? known : await runSeeds({ ...play, from: 1, to: OTHERS });
    expect(seen.told.length, `no seed of 1..${OTHERS} of ${world} notices it`).toBeGreaterThan(0);
  });

  it('plays the source as it is where no defect was asked for', async () => {
    const { told, plays } = await runSeeds({ worlds: ['link'], threads: 1, from: 1, to: 3 });
    expect([told, plays]).toEqual([[], 3]);
  });
});
