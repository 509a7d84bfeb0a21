import { describe, expect, it } from 'vitest';

import type { PartitionRow } from '#runtime/cluster/cluster-store.ts';
import { createMemoryCluster } from '#runtime/cluster/memory/memory-cluster.ts';
import { createOwnership } from '#runtime/cluster/ownership.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

const NODE = { address: 'http://a', host: 'machine', publicKey: '00'.repeat(32), weight: 1 };

async function open() {
  const host = virtualHost(1);
  const { store } = createMemoryCluster(host.clock, 2);
  const ownership = createOwnership({
    store,
    hosts: new Map(),
    router: { setLocal: () => undefined, learn: () => undefined },
    onOwned: () => undefined,
    onFreed: () => undefined,
  });
  const life = await store.join({ id: 'a', ...NODE }, 60_000);
  const look = async (seen: ReadonlyMap<number, number>, rows?: readonly PartitionRow[]): Promise<void> =>
    ownership.reconcile(life, await store.nodes(), rows ?? (await store.partitions()), seen);
  await look(new Map());
  return { host, ownership, look, life };
}

describe('a node whose database lost its last commits', () => {
  it('claims a partition anew, above every epoch that was seen', async () => {
    const { host, ownership, look } = await open();
    const [first, other] = [ownership.active.get(0) ?? 0, ownership.active.get(1)];
    await host.advance(20);
    await look(new Map([[0, first + 10]]));
    expect(ownership.active.get(0)).toBeGreaterThan(first + 10);
    expect(ownership.active.get(1)).toBe(other);
  });

  it('gives up what the database does not give it any more, though it says so at an epoch of the past', async () => {
    const { ownership, look, life } = await open();
    const [first, other] = [ownership.active.get(0) ?? 0, ownership.active.get(1) ?? 0];
    await look(new Map([[0, first]]), [
      { id: 0, epoch: first - 5, owner: { id: 'b', incarnation: 1 } },
      { id: 1, epoch: other, owner: life },
    ]);
    expect([...ownership.active]).toEqual([[1, other]]);
  });
});
