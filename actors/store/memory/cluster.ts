import type { ClusterStore, NewNode, NodeLife, NodeRow, PartitionRow } from '#runtime/cluster/cluster-store.ts';
import type { Clock } from '#runtime/kernel/host.ts';

import type { Tables } from './tables.ts';
import type { Connection, Transaction } from './transaction.ts';

/** A coordinator as the database knows it. */
export interface MemoryNode extends NewNode, NodeLife {
  readonly status: NodeRow['status'] | 'gone';
  /** By the database's clock. */
  readonly leaseUntil: number;
}

/**
 * Membership and ownership beside the grid's other tables, with the same isolation: who takes a partition waits for the writes
 * that hold it at its old epoch, and a server that loses its last commits loses these, too. `clock` is the database's.
 */
export function memoryClusterStore(connection: Connection, tables: Tables, clock: Clock): ClusterStore {
  const { nodes, owners, epochs } = tables;

  function isAlive(life: NodeLife | null | undefined): boolean {
    const node = life && nodes.get(life.id);
    return node?.incarnation === life?.incarnation && node?.status !== 'gone' && (node?.leaseUntil ?? 0) > clock.now();
  }

  /** Changes the row of this life, if the life stands; answers whether it did. */
  function change(verb: string, life: NodeLife, how: (node: MemoryNode) => MemoryNode): Promise<boolean> {
    return connection.transaction(verb, async (tx) => {
      await tx.statement();
      await tx.lock('node', [life.id], 'no key update');
      const node = nodes.get(life.id);
      if (node?.incarnation !== life.incarnation || node.status === 'gone') return false;
      tx.put(nodes, life.id, how(node));
      return true;
    });
  }

  async function lockPartitions(tx: Transaction, partitions: Iterable<number>): Promise<readonly number[]> {
    const sorted = [...partitions].sort((a, b) => a - b);
    await tx.statement();
    await tx.lock('partition', sorted, 'update');
    await tx.statement();
    return sorted;
  }

  return {
    join: (node, ttlMs) =>
      connection.transaction('join', async (tx) => {
        await tx.statement();
        for (const { id, address, host } of nodes.values()) {
          if (id !== node.id && address === node.address && host === node.host) tx.remove(nodes, id);
        }
        await tx.statement();
        await tx.lock('node', [node.id], 'no key update');
        const incarnation = (nodes.get(node.id)?.incarnation ?? 0) + 1;
        tx.put(nodes, node.id, { ...node, incarnation, status: 'up', leaseUntil: clock.now() + ttlMs });
        return { id: node.id, incarnation };
      }),
    renew: (life, ttlMs) => change('renew', life, (node) => ({ ...node, leaseUntil: clock.now() + ttlMs })),
    drain: async (life) => void (await change('drain', life, (node) => ({ ...node, status: 'draining' }))),
    leave: async (life) => void (await change('leave', life, (node) => ({ ...node, status: 'gone' }))),
    expire: (life) => change('expire', life, (node) => ({ ...node, status: 'gone' })),
    nodes: () =>
      connection.read('nodes', () =>
        [...nodes.values()]
          .flatMap(({ leaseUntil, status, ...node }): NodeRow[] =>
            status !== 'gone' && isAlive(node) ? [{ ...node, status, leaseMs: leaseUntil - clock.now() }] : [],
          )
          .sort((a, b) => (a.id < b.id ? -1 : 1)),
      ),
    partitions: () =>
      connection.read('partitions', () =>
        Array.from(epochs, ([id, epoch]): PartitionRow => ({ id, epoch, owner: owners.get(id) ?? null })),
      ),
    async takeOver(life, partitions) {
      if (partitions.length === 0) return new Map();
      return connection.transaction('takeOver', async (tx) => {
        const taken = new Map<number, number>();
        for (const id of await lockPartitions(tx, partitions)) {
          const before = epochs.get(id);
          if (before === undefined || !isAlive(life) || isAlive(owners.get(id))) continue;
          const epoch = Math.max(before + 1, clock.wall());
          tx.put(epochs, id, epoch);
          tx.put(owners, id, { id: life.id, incarnation: life.incarnation });
          taken.set(id, epoch);
        }
        return taken;
      });
    },
    async release(life, held) {
      if (held.size === 0) return;
      await connection.transaction('release', async (tx) => {
        for (const id of await lockPartitions(tx, held.keys())) {
          const owner = owners.get(id);
          if (owner?.id === life.id && owner.incarnation === life.incarnation && epochs.get(id) === held.get(id)) tx.remove(owners, id);
        }
      });
    },
  };
}
