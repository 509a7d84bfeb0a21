import { randomBytes } from 'node:crypto';

import type { ClusterStore } from '#runtime/cluster/cluster-store.ts';
import type { Clock } from '#runtime/kernel/host.ts';
import type { Store } from '../store.ts';
import { accessVerbs } from './access.ts';
import { checkpointVerbs } from './checkpoints.ts';
import { claim } from './claim.ts';
import { memoryClusterStore } from './cluster.ts';
import { commit } from './commit.ts';
import { deviceVerbs } from './devices.ts';
import { jobVerbs } from './jobs.ts';
import { modelVerbs } from './models.ts';
import { historyVerbs } from './history.ts';
import { objectVerbs } from './objects.ts';
import { recordVerbs } from './records.ts';
import { servingVerbs } from './serving.ts';
import { tenantVerbs } from './tenants.ts';
import { answerVerbs } from './answers.ts';
import { standingVerbs } from './standings.ts';
import { emptyTables, type Tables } from './tables.ts';
import { Connection, ConnectionLost, Engine, type Pace } from './transaction.ts';

export interface MemoryStoreOptions {
  /** Makes the cluster secret; default: the operating system's randomness. A simulation gives its seeded one. */
  readonly randomBytes?: (length: number) => Uint8Array;
}

export interface MemoryDatabaseOptions extends MemoryStoreOptions {
  /** How many of the last commits `failOver` can take back; default 0. */
  readonly history?: number;
}

/** One coordinator's connection to a memory database. */
export interface MemoryConnection {
  readonly store: Store;
  /** Leases and partitions, by the database's clock. */
  cluster(clock: Clock): ClusterStore;
  /** The process behind it died: the server rolls back what it had open. */
  close(): void;
}

/** Tables in memory, for as many coordinators as a simulation has, and what can happen to a database server. */
export interface MemoryDatabase {
  /** `pace` says how long this client's statements take and which of them fail. */
  connect(pace?: Pace): MemoryConnection;
  /**
   * The server dies and comes back: whatever was open is rolled back, every connection's next word fails once. As many of
   * the last commits as named, at most `history`, are gone, as when a replica that was behind takes over.
   *
   * @returns how many commits were lost
   */
  failOver(lostCommits: number): number;
  /** Transactions that are open, and rows that are locked: both 0 when nobody is at work. */
  readonly busy: { readonly transactions: number; readonly lockedRows: number };
  /** How often transactions waited for each other, and one of them was rolled back. */
  readonly deadlocks: number;
  /** What is committed, to be looked at. */
  readonly tables: Tables;
  /** Commits so far. */
  readonly commits: number;
}

/** The same verbs as on PostgreSQL, with its isolation (`transaction.ts`), gone with the process. */
export function createMemoryDatabase({ randomBytes: random = randomBytes, history = 0 }: MemoryDatabaseOptions = {}): MemoryDatabase {
  const tables = emptyTables();
  const engine = new Engine(history);
  return {
    connect(pace) {
      const connection = new Connection(engine, pace);
      const store: Store = {
        ...accessVerbs(connection, tables, () => random(32)),
        ...deviceVerbs(connection, tables),
        ...jobVerbs(connection, tables),
        ...recordVerbs(connection, tables),
        ...historyVerbs(connection, tables),
        ...objectVerbs(connection, tables),
        ...checkpointVerbs(connection, tables),
        ...modelVerbs(connection, tables),
        ...servingVerbs(connection, tables),
        ...standingVerbs(connection, tables),
        ...answerVerbs(connection, tables),
        ...tenantVerbs(connection, tables),
        claim: (request) => claim(connection, tables, request),
        commit: (changes) => commit(connection, tables, changes),
      };
      return { store, cluster: (clock) => memoryClusterStore(connection, tables, clock), close: () => connection.close() };
    },
    failOver(lostCommits) {
      for (const tx of engine.open) tx.lose(new ConnectionLost());
      return engine.lose(lostCommits);
    },
    get busy() {
      return { transactions: engine.open.size, lockedRows: engine.locks.size };
    },
    get deadlocks() {
      return engine.locks.deadlocks;
    },
    tables,
    get commits() {
      return engine.commits;
    },
  };
}

/** The grid's memory without a database, for one client: for tests and simulation. */
export function createMemoryStore(options: MemoryStoreOptions = {}): Store {
  return createMemoryDatabase(options).connect().store;
}
