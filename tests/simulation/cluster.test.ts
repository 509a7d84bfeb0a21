import { describe, expect, it } from 'vitest';

import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { clusterWorld, WORLD_PARTITIONS, type World, type WorldNode } from '#tests/support/cluster-world.ts';
import type { Counted } from '#tests/support/counter-entity.ts';

/** Plays with a cluster in virtual time and ends it. Afterwards every message has an account. */
async function play(ids: readonly string[], scene: (world: World, host: VirtualHost) => Promise<void>, seed = 1): Promise<World> {
  const host = virtualHost(seed);
  const world = clusterWorld(host);
  for (const id of ids) {
    const started = world.add(id).start();
    await host.advance(500);
    await started;
  }
  await host.advance(3_000);
  await scene(world, host);
  for (const { cluster, state } of world.nodes) {
    if (state !== 'alive') continue;
    const { sent, received, delivered, forwarded, returned, deadLettered, waiting } = cluster.counts();
    expect(delivered + forwarded + returned + deadLettered + waiting).toBe(sent + received);
  }
  await world.end();
  return world;
}

function nodeOf(world: World, id: string): WorldNode {
  const node = world.nodes.find((one) => one.id === id);
  if (node === undefined) throw new Error(`no node ${id}`);
  return node;
}

/** How many partitions each node owns. They are all owned, each by one. */
function shares(world: World): Record<string, number> {
  const owners = world.nodes.flatMap(({ id, cluster, state }) =>
    state === 'alive' ? [...cluster.owned.keys()].map((p) => ({ p, id })) : [],
  );
  expect(owners.map(({ p }) => p).sort((a, b) => a - b)).toEqual(Array.from({ length: WORLD_PARTITIONS }, (_, p) => p));
  return Object.fromEntries(world.nodes.map(({ id }) => [id, owners.filter((one) => one.id === id).length]));
}

const COUNTERS = Array.from({ length: 40 }, (_, n) => `counter-${n}`);

/** Counts each counter up once from that node, with the number `n`, again and again until it was counted. */
async function countAll(node: WorldNode, host: VirtualHost, n: number, withinMs: number): Promise<Map<string, number>> {
  const tookMs = new Map<string, number>();
  const begun = host.clock.now();
  const all = COUNTERS.map(async (id) => {
    while (!tookMs.has(id)) {
      const answer = (await node.cluster.ask('counter', id, 'add', { sender: node.id, n }, 400).catch(() => null)) as Counted | null;
      if (answer !== null) tookMs.set(id, host.clock.now() - begun);
    }
  });
  for (let passed = 0; passed < withinMs && tookMs.size < COUNTERS.length; passed += 20) await host.advance(20);
  expect([...tookMs.keys()].sort()).toEqual([...COUNTERS].sort());
  await Promise.all(all);
  return tookMs;
}

describe('a cluster', () => {
  it('shares its partitions among the nodes, and again when one more comes', async () => {
    await play(['a'], async (world, host) => {
      expect(shares(world)).toEqual({ a: WORLD_PARTITIONS });
      const started = world.add('b').start();
      await host.advance(3_000);
      await started;
      const two = shares(world);
      expect(Math.min(two['a'] ?? 0, two['b'] ?? 0)).toBeGreaterThan(5);
      const third = world.add('c').start();
      await host.advance(3_000);
      await third;
      const three = shares(world);
      for (const id of ['a', 'b']) expect(three[id]).toBeLessThanOrEqual(two[id] ?? 0);
      expect(three['c']).toBeGreaterThan(0);
    });
  });

  it('answers for an entity from every node, with one life of it at a time', async () => {
    await play(['a', 'b', 'c'], async (world, host) => {
      for (const [n, node] of world.nodes.entries()) await countAll(node, host, n + 1, 5_000);
      const counts = new Map<string, number>();
      for (const { taken, id } of world.writes) if (taken) counts.set(id, (counts.get(id) ?? 0) + 1);
      expect([...counts.values()]).toEqual(COUNTERS.map(() => 3));
      expect(new Set(world.writes.map(({ node }) => node)).size).toBe(3);
    });
  });

  it('goes on within 0.3 s when a node leaves, 1.5 s when its process dies, 3 s when it freezes', async () => {
    await play(['a', 'b', 'c', 'd'], async (world, host) => {
      const a = nodeOf(world, 'a');
      await countAll(a, host, 1, 5_000);
      const stopped = nodeOf(world, 'd').stop();
      expect(Math.max(...(await countAll(a, host, 2, 5_000)).values())).toBeLessThanOrEqual(300);
      await host.advance(1_000);
      await stopped;
      nodeOf(world, 'c').kill();
      expect(Math.max(...(await countAll(a, host, 3, 5_000)).values())).toBeLessThanOrEqual(1_500);
      const started = world.add('e').start();
      await host.advance(3_000);
      await started;
      nodeOf(world, 'b').freeze();
      expect(Math.max(...(await countAll(a, host, 4, 9_000)).values())).toBeLessThanOrEqual(3_000);
      expect(Object.keys(shares(world))).toHaveLength(5);
    });
  });

  it('waits for the lease when one node alone cannot tell who is cut off', async () => {
    await play(['a', 'b'], async (world, host) => {
      const a = nodeOf(world, 'a');
      await countAll(a, host, 1, 5_000);
      nodeOf(world, 'b').freeze();
      const took = Math.max(...(await countAll(a, host, 2, 9_000)).values());
      expect(took).toBeGreaterThan(2_000);
      expect(took).toBeLessThanOrEqual(7_000);
    });
  });

  it('refuses what a thawed node still wants to write, and takes the node back in', async () => {
    await play(['a', 'b', 'c'], async (world, host) => {
      const [a, b] = [nodeOf(world, 'a'), nodeOf(world, 'b')];
      await countAll(a, host, 1, 5_000);
      // Asks that are on their way into b when it freezes.
      const pending = COUNTERS.map((id) => b.cluster.ask('counter', id, 'add', { sender: 'late', n: 1 }, 60_000).catch(() => null));
      await host.advance(1);
      b.freeze();
      await countAll(a, host, 2, 9_000);
      await host.advance(10_000);
      b.thaw();
      await host.advance(10_000);
      await Promise.race([Promise.all(pending), host.advance(70_000)]);
      shares(world);
      expect(b.cluster.owned.size).toBeGreaterThan(0);
      expectFenced(world);
    });
  });

  it('keeps the order of each sender while partitions move', async () => {
    await play(['a', 'b'], async (world, host) => {
      const senders = world.nodes.slice();
      let n = 0;
      const send = (): void => {
        n += 1;
        for (const { cluster, id: sender } of senders)
          for (const id of COUNTERS.slice(0, 10)) cluster.tell('counter', id, 'note', { sender, n });
      };
      for (let i = 0; i < 50; i++) {
        send();
        await host.advance(2);
      }
      const started = world.add('c').start();
      for (let i = 0; i < 400; i++) {
        send();
        await host.advance(5);
      }
      await started;
      await host.advance(3_000);
      const stopped = nodeOf(world, 'c').stop();
      for (let i = 0; i < 100; i++) {
        send();
        await host.advance(5);
      }
      await host.advance(3_000);
      await stopped;
      const heard = world.nodes.flatMap(({ notes }) => notes);
      expect(heard).toHaveLength(n * 20);
      expect(nodeOf(world, 'c').notes.length).toBeGreaterThan(0);
      // In each life of an entity numbers rise; and no later life hears of an earlier number.
      for (const { id: sender } of senders) {
        for (const id of COUNTERS.slice(0, 10)) {
          for (const { notes } of world.nodes) {
            const mine = notes.filter((note) => note.id === id && note.sender === sender).map((note) => note.n);
            expect(mine).toEqual(mine.toSorted((x, y) => x - y));
          }
        }
      }
      expect(world.nodes.flatMap(({ deadLetters }) => deadLetters)).toEqual([]);
    });
  });

  it('fires durable timers once each, also when their node dies before', async () => {
    await play(['a', 'b', 'c'], async (world, host) => {
      const a = nodeOf(world, 'a');
      const versions = Promise.all(COUNTERS.map((id) => a.cluster.ask('counter', id, 'remind', { inMs: 3_000 }, 5_000)));
      await host.advance(500);
      expect(await versions).toEqual(COUNTERS.map(() => 1));
      nodeOf(world, 'b').kill();
      await host.advance(8_000);
      const read = Promise.all(COUNTERS.map((id) => a.cluster.ask('counter', id, 'read', undefined, 5_000)));
      await host.advance(500);
      expect(await read).toEqual(COUNTERS.map(() => ({ count: 1, last: { timer: 1 } })));
    });
  });
});

describe('whatever happens', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('no write of a lower epoch is taken after one of a higher (seed %i)', async (seed) => {
    await play(
      ['a', 'b', 'c'],
      async (world, host) => {
        let n = 0;
        for (let round = 0; round < 12; round++) {
          const alive = world.nodes.filter(({ state }) => state === 'alive');
          const others = alive.slice(1);
          const victim = others[Math.floor(host.random() * others.length)];
          const dice = host.random();
          if (dice < 0.2 && alive.length > 2) victim?.kill();
          else if (dice < 0.5) victim?.freeze();
          else if (dice < 0.65 && victim !== undefined) world.part('a', victim.id);
          else if (dice < 0.8) void world.add(`n${round}`).start();
          else world.mend();
          n += 1;
          for (const { cluster, id: sender } of alive) {
            for (const id of COUNTERS) void cluster.ask('counter', id, 'add', { sender, n }, 3_000).catch(() => null);
          }
          await host.advance(500 + host.random() * 6_000);
          if (host.random() < 0.5) for (const node of world.nodes) if (node.state === 'frozen') node.thaw();
        }
        world.mend();
        for (const node of world.nodes) if (node.state === 'frozen') node.thaw();
        await host.advance(20_000);
        shares(world);
        await countAll(nodeOf(world, 'a'), host, 1_000, 5_000);
        expectFenced(world);
      },
      seed,
    );
  });
});

function expectFenced({ writes }: World): void {
  const highest = new Map<string, number>();
  for (const { id, epoch, taken } of writes) {
    const before = highest.get(id) ?? 0;
    if (taken) expect(epoch).toBeGreaterThanOrEqual(before);
    if (taken) highest.set(id, epoch);
  }
  expect(highest.size).toBeGreaterThan(0);
}
