import { describe, expect, it } from 'vitest';

import { sweep, UNWANTED_MS } from '#actors/keeper/sweep.ts';
import { createMemoryDatabase } from '#actors/store/memory/memory-store.ts';
import type { Store } from '#actors/store/store.ts';
import { keepBytes, wantObject } from '#actors/want-object.ts';
import type { ObjectRef, Objects } from '#runtime/objects/objects.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { memoryObjects } from '#tests/support/memory-objects.ts';

const BYTES = new Uint8Array([1, 2, 3]);
const NOW = 10 * UNWANTED_MS;

type Want = (places: { store: Store; objects: Objects }, ref: ObjectRef) => Promise<ObjectRef | null>;

/**
 * A sweep, and at the same time somebody who submits the very bytes that it is about to delete: wants them, sends them when they are
 * missing. Every word to the database and to the object store takes as long as the seed says. Answers whether the bytes are there afterwards.
 */
async function raced(seed: number, want: Want): Promise<boolean> {
  const random = seededRandom(seed);
  const linger = async (): Promise<void> => {
    for (let turns = Math.floor(random() * 12); turns > 0; turns--) await Promise.resolve();
  };
  const stored = memoryObjects();
  const slow = <A extends unknown[], R>(work: (...args: A) => Promise<R>): ((...args: A) => Promise<R>) => {
    return async (...args) => {
      await linger();
      const result = await work(...args);
      await linger();
      return result;
    };
  };
  const objects = {
    ...stored,
    head: slow((sha256: string) => stored.head(sha256)),
    put: slow((bytes: Uint8Array, ref: ObjectRef) => stored.put(bytes, ref)),
    delete: slow((sha256: string) => stored.delete(sha256)),
  } as Objects;
  const database = createMemoryDatabase();
  const [keeper, submitter] = [database.connect(linger).store, database.connect(linger).store];
  const ref = stored.keep(BYTES);
  await submitter.recordObjects([ref], 0);

  async function submit(): Promise<void> {
    // Some time before the sweep, in it, or after it.
    for (let n = random() * 20; n > 0; n--) await linger();
    if ((await want({ store: submitter, objects }, ref)) === null) await objects.put(BYTES, ref);
  }
  await Promise.all([sweep({ store: keeper, objects, at: NOW, goOn: async () => true }), submit()]);
  expect(database.busy).toEqual({ transactions: 0, lockedRows: 0 });
  return (await stored.head(ref.sha256)) !== null;
}

describe('a sweep while the same bytes are submitted again', () => {
  it('leaves them there, in whatever order things happen', async () => {
    for (let seed = 1; seed <= 1_000; seed++) {
      expect(await raced(seed, (places, ref) => wantObject(places, ref, NOW)), `seed ${seed}`).toBe(true);
    }
  });

  it('would lose them if the look came before the record', async () => {
    let lost = 0;
    for (let seed = 1; seed <= 1_000; seed++) {
      const there = await raced(seed, async ({ store, objects }, ref) => {
        const found = await objects.head(ref.sha256);
        await store.recordObjects([ref], NOW);
        return found;
      });
      if (!there) lost += 1;
    }
    expect(lost).toBeGreaterThan(0);
  });
});

describe('a sweep', () => {
  const places = (): { store: Store; objects: ReturnType<typeof memoryObjects> } => {
    return { store: createMemoryDatabase().connect().store, objects: memoryObjects() };
  };
  const goOn = async (): Promise<boolean> => true;

  it('deletes what nobody has wanted for two days, more than a batch of it, and nothing younger', async () => {
    const { store, objects } = places();
    for (let n = 0; n < 450; n++) await keepBytes({ store, objects }, new Uint8Array([n & 255, n >> 8]), 0);
    const young = await keepBytes({ store, objects }, BYTES, NOW - UNWANTED_MS);
    const report = await sweep({ store, objects, at: NOW, goOn });
    expect(report).toEqual({ dryRun: false, objects: 450, bytes: 900, checkpoints: 0, uploads: 0, adopted: 0 });
    const left: ObjectRef[] = [];
    for await (const object of objects.list()) left.push(object);
    expect(left).toEqual([young]);
  });

  it('takes what is stored without a record on record, and deletes it when its time has come', async () => {
    const { store, objects } = places();
    for (let n = 0; n < 1_100; n++) objects.keep(new Uint8Array([n & 255, n >> 8]));
    expect(await sweep({ store, objects, at: NOW, goOn })).toMatchObject({ objects: 0, adopted: 1_100 });
    expect(await sweep({ store, objects, at: NOW + UNWANTED_MS, goOn })).toMatchObject({ objects: 0, adopted: 0 });
    expect(await sweep({ store, objects, at: NOW + UNWANTED_MS + 1, goOn })).toMatchObject({ objects: 1_100, adopted: 0 });
  });

  it('ends where another coordinator has taken over', async () => {
    const { store, objects } = places();
    await keepBytes({ store, objects }, BYTES, 0);
    expect(await sweep({ store, objects, at: NOW, goOn: async () => false })).toMatchObject({ objects: 0 });
    expect(await store.unwantedObjects(NOW)).toMatchObject({ objects: 1 });
  });
});
