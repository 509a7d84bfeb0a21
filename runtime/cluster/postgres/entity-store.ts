import { sql, type Kysely } from 'kysely';

import type { EntityStore } from '../cluster-store.ts';

/**
 * Entities in `cluster_entities`. The epoch stands in the row, so the fence of a write is a condition more, and the server plans the
 * write once for each connection: see `cluster_write` in the migrations.
 */
export function createPostgresEntityStore(db: Kysely<unknown>): EntityStore {
  return {
    async claim({ kind, id, partition }, epoch) {
      const { rows } = await sql<{ version: number; state: Uint8Array | null }>`
        insert into cluster_entities as e (kind, id, partition, epoch, version) values (${kind}, ${id}, ${partition}, ${epoch}, 0)
        on conflict (kind, id) do update set epoch = excluded.epoch where e.epoch <= excluded.epoch
        returning version, state
      `.execute(db);
      const [row] = rows;
      return row === undefined ? null : { version: row.version, state: row.state && new Uint8Array(row.state) };
    },
    async write({ kind, id }, { epoch, version }, state) {
      const { rows } = await sql<{ written: boolean }>`
        select cluster_write(${kind}, ${id}, ${epoch}, ${version}, ${Buffer.from(state)}) as written
      `.execute(db);
      return rows[0]?.written === true;
    },
  };
}
