import type { Kysely, Transaction } from 'kysely';

/** Where a statement runs: the pool, or one transaction. */
export type Database = Kysely<unknown>;
export type Tx = Transaction<unknown>;

/**
 * Lock order of all verbs: partitions by id, shards by id, the job. Whoever waits holds only what stands earlier, so they
 * do not wait in a circle. PostgreSQL still may end a transaction that it cannot order (serialization failure) or that
 * met a statement locking several rows by itself (beats): nothing of it was written, so it is simply run again.
 */
const TRIES = 5;
const RUN_AGAIN = new Set(['40001', '40P01']);

/**
 * Runs `work` in one transaction, again when PostgreSQL rolled it back for the sake of others.
 *
 * Every statement of `read committed` sees what was committed before *it* began: locks, then a new statement for what
 * the locks protect. `repeatable read` gives one view to all of them, for reading much that belongs together.
 */
export async function inTransaction<T>(
  db: Database,
  work: (tx: Tx) => Promise<T>,
  isolation: 'read committed' | 'repeatable read' = 'read committed',
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await db.transaction().setIsolationLevel(isolation).execute(work);
    } catch (error) {
      if (tries === TRIES || !isRolledBackForOthers(error)) throw error;
    }
  }
}

function isRolledBackForOthers(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && RUN_AGAIN.has(error.code);
}
