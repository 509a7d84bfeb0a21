import { describe, expect, it } from 'vitest';

import { EVERY_MS, keeperActor, LOOK_MS } from '#actors/keeper/keeper.actor.ts';
import type { KeeperRef } from '#actors/keeper/keeper.protocol.ts';
import { UNWANTED_MS } from '#actors/keeper/sweep.ts';
import { createMemoryDatabase, type MemoryDatabase } from '#actors/store/memory/memory-store.ts';
import type { Objects } from '#runtime/objects/objects.ts';
import { type Stage, withSystem } from '#tests/support/actors.ts';
import { logRecord } from '#tests/support/log-record.ts';
import { memoryObjects } from '#tests/support/memory-objects.ts';

function keeper({ system }: Stage, id: string, database: MemoryDatabase, objects: Objects): KeeperRef {
  const services = { store: database.connect().store, objects, log: logRecord() };
  return system.spawn({ id, actor: keeperActor, restart: 'permanent', args: { services, holder: id } });
}

const ASK = { timeoutMs: 60_000 };

describe('the keeper', () => {
  it('sweeps when it is due, once for all coordinators, and again after that', () =>
    withSystem(async (stage) => {
      const { host } = stage;
      const database = createMemoryDatabase();
      const objects = memoryObjects();
      const { store } = database.connect();
      let looks = 0;
      const counted: Objects = { ...objects, list: () => ((looks += 1), objects.list()) };
      keeper(stage, 'one', database, counted);
      keeper(stage, 'two', database, counted);
      const ref = objects.keep(new Uint8Array([1]));
      await store.recordObjects([ref], host.clock.wall());
      await host.advance(LOOK_MS);
      expect(looks).toBe(1);
      await host.advance(EVERY_MS - LOOK_MS);
      expect(looks).toBe(1);
      await host.advance(2 * LOOK_MS);
      expect(looks).toBe(2);
      expect(await objects.head(ref.sha256)).toEqual(ref);
      for (let passed = 0; passed < UNWANTED_MS + EVERY_MS; passed += EVERY_MS) await host.advance(EVERY_MS);
      expect(await objects.head(ref.sha256)).toBeNull();
    }));

  it('sweeps when somebody says so, unless it is at it; a dry run deletes nothing', () =>
    withSystem(async (stage) => {
      const { host } = stage;
      const database = createMemoryDatabase();
      const objects = memoryObjects();
      const ref = objects.keep(new Uint8Array([1, 2]));
      await database.connect().store.recordObjects([ref], host.clock.wall() - UNWANTED_MS - 1);
      const [one, two] = [keeper(stage, 'one', database, objects), keeper(stage, 'two', database, objects)];
      const dry = one.sweep({ dryRun: true }, ASK);
      await host.settle();
      expect(await dry).toMatchObject({ dryRun: true, objects: 1, bytes: 2 });
      expect(await objects.head(ref.sha256)).toEqual(ref);
      const asked = Promise.allSettled([one.sweep({ dryRun: false }, ASK), one.sweep({ dryRun: false }, ASK), two.sweep({ dryRun: false }, ASK)]); // prettier-ignore
      await host.settle();
      const settled = await asked;
      expect(settled.flatMap((s) => (s.status === 'fulfilled' ? [s.value.objects] : []))).toEqual([1]);
      for (const s of settled) if (s.status === 'rejected') expect(s.reason).toMatchObject({ code: 'CONFLICT' });
      expect(await objects.head(ref.sha256)).toBeNull();
      const again = two.sweep({ dryRun: false }, ASK);
      await host.settle();
      expect(await again).toMatchObject({ objects: 0 });
    }));

  it('stays due when the object store is away', () =>
    withSystem(async (stage) => {
      const { host } = stage;
      const database = createMemoryDatabase();
      const objects = memoryObjects();
      const ref = objects.keep(new Uint8Array([1]));
      await database.connect().store.recordObjects([ref], host.clock.wall() - UNWANTED_MS - 1);
      let away = true;
      const sometimes: Objects = { ...objects, delete: (sha256) => (away ? Promise.reject(new Error('away')) : objects.delete(sha256)) };
      keeper(stage, 'one', database, sometimes);
      await host.advance(LOOK_MS);
      expect(await objects.head(ref.sha256)).toEqual(ref);
      away = false;
      for (let minutes = 0; minutes < 11; minutes++) await host.advance(LOOK_MS);
      expect(await objects.head(ref.sha256)).toBeNull();
    }));
});
