import { sql, type Kysely } from 'kysely';

import type { TimerStore } from '../cluster-store.ts';

/** Timers in `cluster_timers`. Setting one holds its partition at the owner's epoch, as every write of an owner does. */
export function createPostgresTimerStore(db: Kysely<unknown>): TimerStore {
  return {
    async set({ entity: { kind, id, partition }, timer, inMs, payload }, epoch) {
      const { rows } = await sql<{ version: number }>`
        with held as (select id from partitions where id = ${partition} and epoch = ${epoch} for share)
        insert into cluster_timers as t (kind, id, timer, partition, version, due_at, payload)
        select ${kind}, ${id}, ${timer}, ${partition}, 1, clock_timestamp() + ${inMs}::float8 * interval '1 ms', ${Buffer.from(payload)}
        from held
        on conflict (kind, id, timer) do update set version = t.version + 1, due_at = excluded.due_at, payload = excluded.payload
        returning version
      `.execute(db);
      return rows[0]?.version ?? null;
    },
    async cancel({ kind, id, partition }, timer, epoch) {
      const { numAffectedRows } = await sql`
        with held as (select id from partitions where id = ${partition} and epoch = ${epoch} for share)
        delete from cluster_timers t using held where t.kind = ${kind} and t.id = ${id} and t.timer = ${timer}
      `.execute(db);
      return numAffectedRows === 1n;
    },
    async due(epochs, limit) {
      if (epochs.size === 0) return [];
      const { rows } = await sql<{ kind: string; id: string; partition: number; timer: string; version: number; payload: Uint8Array }>`
        select t.kind, t.id, t.partition, t.timer, t.version, t.payload
        from unnest(${[...epochs.keys()]}::int[], ${[...epochs.values()]}::bigint[]) as mine (id, epoch)
        join partitions p on p.id = mine.id and p.epoch = mine.epoch
        join cluster_timers t on t.partition = p.id and t.due_at <= clock_timestamp()
        order by t.due_at, t.kind, t.id, t.timer limit ${limit}
      `.execute(db);
      return rows.map(({ kind, id, partition, timer, version, payload }) => ({
        entity: { kind, id, partition },
        timer,
        version,
        payload: new Uint8Array(payload),
      }));
    },
    async done({ entity: { kind, id }, timer, version }) {
      await sql`
        delete from cluster_timers where kind = ${kind} and id = ${id} and timer = ${timer} and version = ${version}
      `.execute(db);
    },
  };
}
