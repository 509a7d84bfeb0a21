import { describe, expect, it, onTestFinished } from 'vitest';

import type { ClusterStore, EntityStore, NewNode, TimerStore } from '#runtime/cluster/cluster-store.ts';

export interface OpenedCluster {
  readonly store: ClusterStore;
  readonly entities: EntityStore;
  readonly timers: TimerStore;
  /** Lets the database's clock pass by as much. */
  readonly pass: (ms: number) => Promise<void>;
  readonly close: () => Promise<void>;
}

const TTL = 60_000;
const node = (id: string, changes: Partial<NewNode> = {}): NewNode => ({
  id,
  address: `http://${id}`,
  host: 'machine',
  publicKey: '00'.repeat(32),
  weight: 1,
  ...changes,
});

/** What every store of a cluster promises. Each test opens one of its own with 256 partitions. */
export function clusterStoreContract(open: () => Promise<OpenedCluster>): void {
  async function opened(): Promise<OpenedCluster> {
    const cluster = await open();
    onTestFinished(() => cluster.close());
    return cluster;
  }

  describe('lives', () => {
    it('run while their lease is renewed and end when it is not', async () => {
      const { store, pass } = await opened();
      const a = await store.join(node('a'), TTL);
      const b = await store.join(node('b', { weight: 2 }), TTL);
      await pass(TTL - 10_000);
      expect(await store.renew(a, TTL)).toBe(true);
      await pass(20_000);
      expect(await store.nodes()).toMatchObject([{ ...node('a'), incarnation: 1, status: 'up' }]);
      // Nobody took anything from b meanwhile: it may go on.
      expect(await store.renew(b, TTL)).toBe(true);
      expect((await store.nodes()).map(({ id, weight }) => [id, weight])).toEqual([
        ['a', 1],
        ['b', 2],
      ]);
      for (const { leaseMs } of await store.nodes()) expect(leaseMs).toBeLessThanOrEqual(TTL);
    });

    it('are over when another one says so, and a new one may begin', async () => {
      const { store } = await opened();
      const first = await store.join(node('a'), TTL);
      expect(await store.expire(first)).toBe(true);
      expect(await store.expire(first)).toBe(false);
      expect(await store.renew(first, TTL)).toBe(false);
      expect(await store.nodes()).toEqual([]);
      const second = await store.join(node('a'), TTL);
      expect(second.incarnation).toBe(first.incarnation + 1);
      expect(await store.renew(first, TTL)).toBe(false);
      expect(await store.renew(second, TTL)).toBe(true);
    });

    it('of the same address on the same host end with the next one', async () => {
      const { store } = await opened();
      const old = await store.join(node('a', { address: 'http://x' }), TTL);
      const far = await store.join(node('b', { address: 'http://x', host: 'elsewhere' }), TTL);
      await store.join(node('c', { address: 'http://x' }), TTL);
      expect(await store.renew(old, TTL)).toBe(false);
      expect(await store.renew(far, TTL)).toBe(true);
    });

    it('drain before they leave', async () => {
      const { store } = await opened();
      const a = await store.join(node('a'), TTL);
      await store.drain(a);
      expect(await store.nodes()).toMatchObject([{ id: 'a', status: 'draining' }]);
      expect(await store.renew(a, TTL)).toBe(true);
      await store.leave(a);
      expect(await store.nodes()).toEqual([]);
    });
  });

  describe('partitions', () => {
    it('are taken by one of many who try at once', async () => {
      const { store } = await opened();
      const lives = await Promise.all(['a', 'b', 'c', 'd'].map((id) => store.join(node(id), TTL)));
      const all = Array.from({ length: 256 }, (_, p) => p);
      const taken = await Promise.all(lives.map((life, i) => store.takeOver(life, i % 2 === 0 ? all : all.toReversed())));
      expect(taken.flatMap((map) => [...map.keys()]).sort((x, y) => x - y)).toEqual(all);
      for (const [i, map] of taken.entries()) {
        const mine = (await store.partitions()).filter(({ owner }) => owner?.id === lives[i]?.id);
        expect(new Map(mine.map(({ id, epoch }) => [id, epoch]))).toEqual(map);
      }
    });

    it('stay with an owner that lives, also while it drains', async () => {
      const { store } = await opened();
      const [a, b] = [await store.join(node('a'), TTL), await store.join(node('b'), TTL)];
      await store.takeOver(a, [1, 2]);
      await store.drain(a);
      expect(await store.takeOver(b, [1, 2, 3])).toEqual(new Map([[3, expect.any(Number) as number]]));
    });

    it('pass on at a higher epoch when their owner is declared dead, leaves, or lets its lease run out', async () => {
      const { store, pass } = await opened();
      const survivor = await store.join(node('z'), TTL * 10);
      const owner = async (id: string, p: number): Promise<{ life: Awaited<ReturnType<ClusterStore['join']>>; epoch: number }> => {
        const life = await store.join(node(id), TTL);
        return { life, epoch: (await store.takeOver(life, [p])).get(p) ?? 0 };
      };
      const [dead, gone, late] = [await owner('a', 1), await owner('b', 2), await owner('c', 3)];
      expect((await store.takeOver(survivor, [1, 2, 3])).size).toBe(0);
      await store.expire(dead.life);
      await store.leave(gone.life);
      expect([...(await store.takeOver(survivor, [1, 2, 3])).keys()]).toEqual([1, 2]);
      await pass(TTL + 1_000);
      expect([...(await store.takeOver(survivor, [1, 2, 3])).keys()]).toEqual([3]);
      const epochs = (await store.partitions()).slice(1, 4).map(({ epoch }) => epoch);
      for (const [i, before] of [dead, gone, late].entries()) expect(epochs[i]).toBeGreaterThan(before.epoch);
    });

    it('are not for a taker whose own life is over', async () => {
      const { store, pass } = await opened();
      const [dead, late] = [await store.join(node('a'), TTL * 10), await store.join(node('b'), TTL)];
      await store.expire(dead);
      expect((await store.takeOver(dead, [1])).size).toBe(0);
      await pass(TTL + 1_000);
      expect((await store.takeOver(late, [1])).size).toBe(0);
      expect((await store.takeOver({ id: 'nobody', incarnation: 1 }, [1])).size).toBe(0);
    });

    it('have epochs that are not below the calendar', async () => {
      const { store } = await opened();
      const a = await store.join(node('a'), TTL);
      const epoch = (await store.takeOver(a, [7])).get(7) ?? 0;
      // 2026-01-01: the virtual calendar's start, and long before any real one.
      expect(epoch).toBeGreaterThanOrEqual(1_767_225_600_000);
      await store.release(a, new Map([[7, epoch]]));
      expect((await store.takeOver(a, [7])).get(7)).toBeGreaterThan(epoch);
    });

    it('are freed by their owner alone, at the epoch at which it owns them', async () => {
      const { store } = await opened();
      const [a, b] = [await store.join(node('a'), TTL), await store.join(node('b'), TTL)];
      const epochs = await store.takeOver(a, [4, 5]);
      await store.release(b, epochs);
      await store.release(a, new Map([[4, (epochs.get(4) ?? 0) - 1]]));
      expect((await store.takeOver(b, [4, 5])).size).toBe(0);
      await store.release(a, new Map([[4, epochs.get(4) ?? 0]]));
      expect([...(await store.takeOver(b, [4, 5])).keys()]).toEqual([4]);
    });
  });

  describe('entities', () => {
    const key = { kind: 'counter', id: 'one', partition: 9 };
    const bytes = (n: number): Uint8Array => Uint8Array.of(n);

    it('begin empty, and keep what the epoch and version that own them write', async () => {
      const { entities } = await opened();
      expect(await entities.claim(key, 10)).toEqual({ version: 0, state: null });
      expect(await entities.write(key, { epoch: 10, version: 0 }, bytes(1))).toBe(true);
      expect(await entities.write(key, { epoch: 10, version: 0 }, bytes(2))).toBe(false);
      expect(await entities.claim(key, 10)).toEqual({ version: 1, state: bytes(1) });
    });

    it('refuse the zombie from the instant in which a higher epoch has read them', async () => {
      const { entities } = await opened();
      await entities.claim(key, 10);
      expect(await entities.claim(key, 11)).toEqual({ version: 0, state: null });
      expect(await entities.write(key, { epoch: 10, version: 0 }, bytes(1))).toBe(false);
      expect(await entities.claim(key, 10)).toBeNull();
      expect(await entities.write(key, { epoch: 11, version: 0 }, bytes(2))).toBe(true);
    });
  });

  describe('timers', () => {
    const entity = { kind: 'counter', id: 'one', partition: 3 };
    const payload = Uint8Array.of(1, 2);

    async function owned(): Promise<OpenedCluster & { epochs: ReadonlyMap<number, number>; epoch: number }> {
      const cluster = await opened();
      const life = await cluster.store.join(node('a'), TTL * 100);
      const epochs = await cluster.store.takeOver(life, [3, 4]);
      return { ...cluster, epochs, epoch: epochs.get(3) ?? 0 };
    }

    it('come due in their order, not before their time, until they are done', async () => {
      const { timers, pass, epochs, epoch } = await owned();
      await timers.set({ entity, timer: 'late', inMs: 20_000, payload }, epoch);
      await timers.set({ entity, timer: 'soon', inMs: 10_000, payload }, epoch);
      expect(await timers.due(epochs, 10)).toEqual([]);
      await pass(30_000);
      const due = await timers.due(epochs, 10);
      expect(due).toEqual(['soon', 'late'].map((timer) => ({ entity, timer, version: 1, payload })));
      expect(await timers.due(epochs, 1)).toHaveLength(1);
      for (const one of due) await timers.done(one);
      expect(await timers.due(epochs, 10)).toEqual([]);
    });

    it('that are set anew have another version, and being done with the old one leaves them', async () => {
      const { timers, pass, epochs, epoch } = await owned();
      expect(await timers.set({ entity, timer: 't', inMs: 0, payload }, epoch)).toBe(1);
      await pass(1_000);
      const [first] = await timers.due(epochs, 10);
      expect(await timers.set({ entity, timer: 't', inMs: 0, payload }, epoch)).toBe(2);
      if (first !== undefined) await timers.done(first);
      await pass(1_000);
      expect(await timers.due(epochs, 10)).toMatchObject([{ version: 2 }]);
      expect(await timers.cancel(entity, 't', epoch)).toBe(true);
      expect(await timers.cancel(entity, 't', epoch)).toBe(false);
      expect(await timers.due(epochs, 10)).toEqual([]);
    });

    it('obey the epoch of their partition alone', async () => {
      const { timers, pass, epochs, epoch } = await owned();
      expect(await timers.set({ entity, timer: 't', inMs: 0, payload }, epoch - 1)).toBeNull();
      await timers.set({ entity, timer: 't', inMs: 0, payload }, epoch);
      await pass(1_000);
      expect(await timers.cancel(entity, 't', epoch - 1)).toBe(false);
      expect(await timers.due(new Map([[3, epoch - 1]]), 10)).toEqual([]);
      expect(await timers.due(new Map([[4, epochs.get(4) ?? 0]]), 10)).toEqual([]);
      expect(await timers.due(epochs, 10)).toHaveLength(1);
    });
  });
}
