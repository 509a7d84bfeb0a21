import { movesOf } from './assignment.ts';
import type { ClusterStore, NodeLife, NodeRow, PartitionRow } from './cluster-store.ts';
import type { EntityHost } from './entity-host.ts';
import type { Router } from './router.ts';

/**
 * The partitions of this node: free -> activating -> active -> draining -> free, or at any time lost.
 *
 * Each look compares what the database says with what the hash wants: takes what is free or left by the dead, wakes its hosts,
 * and then tells the others; hands off what is another node's, in batches: stops admitting, lets the hosts finish, frees the
 * rows, and then wakes the others. Never does the new owner begin while the old one still works: it is the rows that say so.
 */
export interface Ownership {
  /** Active partitions, by their epochs. The same map for ever. */
  readonly active: ReadonlyMap<number, number>;
  /**
   * Acts on what the database said just now; `seen` are the highest epochs that anybody has heard of. Settles when what was
   * taken is active. One call at a time: what the database says is then never older than what was taken here.
   */
  reconcile(
    life: NodeLife,
    nodes: readonly NodeRow[],
    partitions: readonly PartitionRow[],
    seen: ReadonlyMap<number, number>,
  ): Promise<void>;
  /** Hands everything off: no node is there to take it, or this one leaves. */
  handOffAll(life: NodeLife): Promise<void>;
  /** This life is over: nothing may be used or written any more. */
  loseAll(): Promise<void>;
}

export interface OwnershipOptions {
  readonly store: ClusterStore;
  readonly hosts: ReadonlyMap<string, EntityHost>;
  readonly router: Pick<Router, 'setLocal' | 'learn'>;
  /** These are active from now on. */
  readonly onOwned: (life: NodeLife, epochs: ReadonlyMap<number, number>) => void;
  /** Rows were freed. */
  readonly onFreed: () => void;
}

/** So many partitions are handed off at once: the others of a node go on while a batch rests. */
const BATCH = 64;

export function createOwnership({ store, hosts, router, onOwned, onFreed }: OwnershipOptions): Ownership {
  /** Everything that this node holds in memory, by its epoch; `active` is the part that is open. */
  const held = new Map<number, number>();
  const active = new Map<number, number>();
  let handingOff: Promise<void> | undefined;

  async function activate(life: NodeLife, epochs: ReadonlyMap<number, number>): Promise<void> {
    if (epochs.size === 0) return;
    for (const [partition, epoch] of epochs) {
      held.set(partition, epoch);
      router.setLocal(partition, { epoch, phase: 'activating' });
    }
    try {
      await Promise.all([...hosts.values()].map((host) => host.activate(epochs)));
    } catch (error) {
      // The rows still say that they are ours: the next look tries again.
      await drop([...epochs].filter(([p, e]) => held.get(p) === e).map(([p]) => p));
      throw error;
    }
    const open = new Map([...epochs].filter(([partition, epoch]) => held.get(partition) === epoch));
    for (const [partition, epoch] of open) {
      active.set(partition, epoch);
      router.setLocal(partition, { epoch, phase: 'active' });
    }
    if (open.size > 0) onOwned(life, open);
  }

  async function drop(partitions: readonly number[]): Promise<void> {
    if (partitions.length === 0) return;
    for (const partition of partitions) {
      held.delete(partition);
      active.delete(partition);
      router.setLocal(partition, null);
    }
    await Promise.all([...hosts.values()].map((host) => host.deactivate(partitions, 'lost')));
  }

  async function handOff(life: NodeLife, partitions: readonly number[]): Promise<void> {
    for (let at = 0; at < partitions.length; at += BATCH) {
      const batch = new Map(
        partitions.slice(at, at + BATCH).flatMap((partition) => {
          const epoch = active.get(partition);
          return epoch === undefined ? [] : [[partition, epoch] as const];
        }),
      );
      for (const [partition, epoch] of batch) {
        active.delete(partition);
        router.setLocal(partition, { epoch, phase: 'draining' });
      }
      await Promise.all([...hosts.values()].map((host) => host.deactivate([...batch.keys()], 'handed-off')));
      await store.release(life, batch);
      for (const [partition, epoch] of batch) {
        if (held.get(partition) !== epoch) continue;
        held.delete(partition);
        router.setLocal(partition, null);
        router.learn(partition, epoch, null);
      }
      onFreed();
    }
  }

  /**
   * A database that lost its last commits may say that a partition is ours at an epoch below what was given since. Nobody who
   * has seen the higher one obeys us then: it is freed here, and taken anew above both.
   */
  async function claimAgain(
    life: NodeLife,
    rows: readonly PartitionRow[],
    seen: ReadonlyMap<number, number>,
  ): Promise<readonly PartitionRow[]> {
    const isOurs = ({ owner }: PartitionRow): boolean => owner?.id === life.id && owner.incarnation === life.incarnation;
    const outdated = new Map(rows.flatMap((row) => (isOurs(row) && row.epoch < (seen.get(row.id) ?? 0) ? [[row.id, row.epoch]] : [])));
    if (outdated.size === 0) return rows;
    await store.release(life, outdated);
    return rows.map((row) => (outdated.has(row.id) ? { ...row, owner: null } : row));
  }

  return {
    active,
    async reconcile(life, nodes, rows, seen) {
      const partitions = await claimAgain(life, rows, seen);
      const alive = new Map(nodes.map((node) => [node.id, node.incarnation]));
      const mine = new Map<number, number>();
      for (const { id, epoch, owner } of partitions) {
        const isAlive = owner !== null && alive.get(owner.id) === owner.incarnation;
        if (owner?.id === life.id && owner.incarnation === life.incarnation) mine.set(id, epoch);
        else router.learn(id, epoch, isAlive ? owner.id : null);
      }
      const lost = [...held].filter(([p, epoch]) => mine.get(p) !== epoch && handingOff === undefined);
      await drop(lost.map(([p]) => p));
      const { take, give } = movesOf(life.id, nodes, partitions);
      const taken = new Map(await store.takeOver(life, take));
      // Taken before, and the answer was lost, or a host could not be woken then.
      if (handingOff === undefined) for (const [p, epoch] of mine) if (!held.has(p)) taken.set(p, epoch);
      const giving = give.filter((p) => active.has(p));
      if (giving.length > 0) handingOff ??= handOff(life, giving).finally(() => (handingOff = undefined));
      await Promise.all([activate(life, taken), handingOff]);
    },
    async handOffAll(life) {
      await handingOff;
      handingOff = handOff(life, [...active.keys()]).finally(() => (handingOff = undefined));
      await handingOff;
    },
    loseAll: () => drop([...held.keys()]),
  };
}
