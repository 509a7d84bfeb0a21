import type { Clock } from '#runtime/kernel/host.ts';

import type { ClusterStore, DueTimer, EntityStore, NewNode, NodeLife, NodeRow, PartitionRow, TimerStore } from '../cluster-store.ts';

/** What one PostgreSQL holds for all nodes of a cluster, in memory: for simulations. */
export interface MemoryCluster {
  readonly store: ClusterStore;
  readonly entities: EntityStore;
  readonly timers: TimerStore;
}

interface Node extends NewNode {
  incarnation: number;
  status: NodeRow['status'] | 'gone';
  leaseUntil: number;
}

interface StoredTimer extends DueTimer {
  readonly dueAt: number;
}

/** `clock` is the database's: monotonic for leases, the calendar for the floor of epochs. */
export function createMemoryCluster(clock: Clock, count: number): MemoryCluster {
  const nodes = new Map<string, Node>();
  const partitions = Array.from({ length: count }, (_, id): PartitionRow => ({ id, epoch: 0, owner: null }));
  const rows = new Map<string, { epoch: number; version: number; state: Uint8Array | null }>();
  const timers = new Map<string, StoredTimer>();

  function alive(life: NodeLife | null): Node | undefined {
    const node = life === null ? undefined : nodes.get(life.id);
    if (node === undefined || node.incarnation !== life?.incarnation) return undefined;
    return node.status !== 'gone' && node.leaseUntil > clock.now() ? node : undefined;
  }

  /** The node of this life unless it was declared over. Its lease may have run out. */
  function standing({ id, incarnation }: NodeLife): Node | undefined {
    const node = nodes.get(id);
    return node?.incarnation === incarnation && node.status !== 'gone' ? node : undefined;
  }

  function isAt(partition: number, epoch: number): boolean {
    return partitions[partition]?.epoch === epoch;
  }

  const keyOf = (...parts: string[]): string => JSON.stringify(parts);

  return {
    store: {
      async join(node, ttlMs) {
        for (const [id, other] of nodes) {
          if (id !== node.id && other.address === node.address && other.host === node.host) nodes.delete(id);
        }
        const incarnation = (nodes.get(node.id)?.incarnation ?? 0) + 1;
        nodes.set(node.id, { ...node, incarnation, status: 'up', leaseUntil: clock.now() + ttlMs });
        return { id: node.id, incarnation };
      },
      async renew(life, ttlMs) {
        const node = standing(life);
        if (node !== undefined) node.leaseUntil = clock.now() + ttlMs;
        return node !== undefined;
      },
      async drain(life) {
        const node = standing(life);
        if (node !== undefined) node.status = 'draining';
      },
      async leave(life) {
        const node = standing(life);
        if (node !== undefined) node.status = 'gone';
      },
      async expire(life) {
        const node = standing(life);
        if (node !== undefined) node.status = 'gone';
        return node !== undefined;
      },
      async nodes() {
        return [...nodes.values()]
          .flatMap(({ leaseUntil, status, ...node }): NodeRow[] =>
            status !== 'gone' && alive(node) !== undefined ? [{ ...node, status, leaseMs: leaseUntil - clock.now() }] : [],
          )
          .sort((a, b) => (a.id < b.id ? -1 : 1));
      },
      async partitions() {
        return [...partitions];
      },
      async takeOver(life, wanted) {
        const taken = new Map<number, number>();
        if (alive(life) === undefined) return taken;
        for (const id of wanted) {
          const row = partitions[id];
          if (row === undefined || alive(row.owner) !== undefined) continue;
          const epoch = Math.max(row.epoch + 1, clock.wall());
          partitions[id] = { id, epoch, owner: { id: life.id, incarnation: life.incarnation } };
          taken.set(id, epoch);
        }
        return taken;
      },
      async release(life, epochs) {
        for (const [id, epoch] of epochs) {
          const row = partitions[id];
          if (row?.epoch === epoch && row.owner?.id === life.id && row.owner.incarnation === life.incarnation) {
            partitions[id] = { ...row, owner: null };
          }
        }
      },
    },
    entities: {
      async claim({ kind, id }, epoch) {
        const key = keyOf(kind, id);
        const row = rows.get(key) ?? { epoch, version: 0, state: null };
        if (row.epoch > epoch) return null;
        rows.set(key, { ...row, epoch });
        return { version: row.version, state: row.state && Uint8Array.from(row.state) };
      },
      async write({ kind, id }, { epoch, version }, state) {
        const row = rows.get(keyOf(kind, id));
        if (row?.epoch !== epoch || row.version !== version) return false;
        rows.set(keyOf(kind, id), { epoch, version: version + 1, state: Uint8Array.from(state) });
        return true;
      },
    },
    timers: {
      async set({ entity, timer, inMs, payload }, epoch) {
        if (!isAt(entity.partition, epoch)) return null;
        const key = keyOf(entity.kind, entity.id, timer);
        const version = (timers.get(key)?.version ?? 0) + 1;
        timers.set(key, { entity, timer, version, payload: Uint8Array.from(payload), dueAt: clock.now() + inMs });
        return version;
      },
      async cancel({ kind, id, partition }, timer, epoch) {
        return isAt(partition, epoch) && timers.delete(keyOf(kind, id, timer));
      },
      async due(epochs, limit) {
        return [...timers.values()]
          .filter(({ entity, dueAt }) => dueAt <= clock.now() && isAt(entity.partition, epochs.get(entity.partition) ?? -1))
          .sort((a, b) => a.dueAt - b.dueAt)
          .slice(0, limit)
          .map(({ entity, timer, version, payload }) => ({ entity, timer, version, payload: Uint8Array.from(payload) }));
      },
      async done({ entity, timer, version }) {
        const key = keyOf(entity.kind, entity.id, timer);
        if (timers.get(key)?.version === version) timers.delete(key);
      },
    },
  };
}
