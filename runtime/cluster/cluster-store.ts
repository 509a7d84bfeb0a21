/**
 * What several coordinators agree on, as verbs: who lives, and who owns which partition at which epoch. The database's clock
 * is the only clock that all of them share; leases are measured by it alone.
 *
 * Leases are for liveness, epochs for safety. Two nodes may believe for a moment that they own a partition; only the one with
 * the higher epoch can write, because every write names its epoch. `memory/` and `postgres/` implement this file, and one
 * contract suite holds them equal.
 */
export interface ClusterStore {
  /** Begins a life. Older lives of the same id, or of the same address on the same host, are over: that process is gone. */
  join(node: NewNode, ttlMs: number): Promise<NodeLife>;
  /** Prolongs the lease. False: somebody declared this life over, and nothing that it owns may be used any more. */
  renew(life: NodeLife, ttlMs: number): Promise<boolean>;
  /** From now on it is given nothing more, and hands off what it has. */
  drain(life: NodeLife): Promise<void>;
  /** Ends the life by itself: its partitions are free. */
  leave(life: NodeLife): Promise<void>;
  /**
   * Ends the life of another one, on good suspicion: its partitions can be taken before its lease has run out, and its open
   * transactions are ended, so that they hold nobody up. A false suspicion costs one needless move. False: it was over.
   */
  expire(life: NodeLife): Promise<boolean>;
  /** The nodes whose lease runs. */
  nodes(): Promise<readonly NodeRow[]>;
  /** All partitions, in order. */
  partitions(): Promise<readonly PartitionRow[]>;
  /**
   * Takes those of the partitions that are free or whose owner's life is over, one by one, while the taker's own lease runs.
   * Each gets an epoch above all before it, and not below the milliseconds since 1970: a database that lost its last commits
   * still never gives the same epoch twice. Waits for writes that hold a partition at its old epoch.
   */
  takeOver(life: NodeLife, partitions: readonly number[]): Promise<ReadonlyMap<number, number>>;
  /** Frees those of the partitions that it still owns at these epochs. */
  release(life: NodeLife, epochs: ReadonlyMap<number, number>): Promise<void>;
}

/** One life of one node: a process that was declared dead and finds itself alive begins a new one. */
export interface NodeLife {
  readonly id: string;
  readonly incarnation: number;
}

export interface NewNode {
  readonly id: string;
  /** Where the other nodes reach it. */
  readonly address: string;
  /** The machine, so that two that both call themselves localhost are not taken for one. */
  readonly host: string;
  /** Ed25519, 64 hex digits: the database vouches for it. */
  readonly publicKey: string;
  /** Its share of the partitions, against those of the others. */
  readonly weight: number;
}

export interface NodeRow extends NewNode, NodeLife {
  readonly status: 'up' | 'draining';
  /** What was left of the lease when the row was read. */
  readonly leaseMs: number;
}

export interface PartitionRow {
  readonly id: number;
  readonly epoch: number;
  /** The life that took it last; null: free. Its lease may be over. */
  readonly owner: NodeLife | null;
}

/** State of one entity, and who may write it: the basis of entities that keep nothing but this. */
export interface EntityStore {
  /** Claims the entity for this epoch and reads it. Null: a higher epoch has claimed it, so the caller is a zombie. */
  claim(entity: EntityKey, epoch: number): Promise<EntityState | null>;
  /** Writes the next version. False: another epoch or version stands there; nothing was written. */
  write(entity: EntityKey, expected: { readonly epoch: number; readonly version: number }, state: Uint8Array): Promise<boolean>;
}

export interface EntityKey {
  readonly kind: string;
  readonly id: string;
  readonly partition: number;
}

export interface EntityState {
  readonly version: number;
  /** Null before the first write. */
  readonly state: Uint8Array | null;
}

/** Timers that outlive every process. */
export interface TimerStore {
  /**
   * Sets or replaces the timer; it comes due `inMs` from now by the database's clock. Answers its version: whoever is woken by
   * the same version twice was woken by one timer. Null: the partition is at another epoch; nothing was written.
   */
  set(timer: NewTimer, epoch: number): Promise<number | null>;
  /** False: there is none, or the partition is at another epoch. */
  cancel(entity: EntityKey, timer: string, epoch: number): Promise<boolean>;
  /** Timers that are due, of partitions that still are at these epochs; the earliest first. */
  due(epochs: ReadonlyMap<number, number>, limit: number): Promise<readonly DueTimer[]>;
  /** The entity has handled it: it is gone, unless it was set anew meanwhile. */
  done(timer: DueTimer): Promise<void>;
}

export interface NewTimer {
  readonly entity: EntityKey;
  /** Unique within its entity. */
  readonly timer: string;
  readonly inMs: number;
  readonly payload: Uint8Array;
}

export interface DueTimer {
  readonly entity: EntityKey;
  readonly timer: string;
  readonly version: number;
  readonly payload: Uint8Array;
}
