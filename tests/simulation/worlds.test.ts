import { describe, expect, it } from 'vitest';

import { WORLDS } from './worlds/worlds.ts';
import type { World } from './worlds/world.ts';

/** Of each world: seeds that are always the same, and as many that are new in each run. */
const SLICE: Readonly<Record<string, number>> = { grid: 60, link: 60, cluster: 25 };
const given = process.env['SIMULATE_FROM'];
/** Named in the tests' titles, so that whoever sees one fail can play it again. */
const fresh = given === undefined ? 1_000_000 + Math.floor(Math.random() * 1_000_000_000) : Number(given);

async function playAll(name: string, world: World, from: number, count: number): Promise<void> {
  for (let seed = from; seed < from + count; seed++) {
    const { violations, hash } = await world(seed);
    expect(violations, `npm run simulate -- --world ${name} --seeds ${seed} (hash ${hash})`).toEqual([]);
  }
}

describe.each(Object.entries(WORLDS))('the world %s', (name, world) => {
  const count = SLICE[name] ?? 50;

  it(`keeps its promises with the seeds 1..${count}`, { timeout: 120_000 }, () => playAll(name, world, 1, count));

  it(`keeps its promises with the fresh seeds ${fresh}..${fresh + count - 1}`, { timeout: 120_000 }, () =>
    playAll(name, world, fresh, count),
  );

  it('plays the same seed the same way, whatever was played before', async () => {
    const hashes = new Set<string>();
    for (const seed of [7, 8, 7]) {
      const { hash, steps } = await world(seed);
      expect(steps).toBeGreaterThan(10);
      hashes.add(hash);
    }
    expect(hashes.size).toBe(2);
  });
});
