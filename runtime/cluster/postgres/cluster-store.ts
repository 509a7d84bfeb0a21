import { sql, type Kysely } from 'kysely';

import type { ClusterStore, NodeRow, PartitionRow } from '../cluster-store.ts';

/** The name that a node's connections carry, so that the survivors can end them. PostgreSQL keeps 63 bytes of it. */
export function connectionName(nodeId: string): string {
  return `corpgrid ${nodeId}`.slice(0, 63);
}

const LIFE = sql`id = p.coordinator and incarnation = p.incarnation and status <> 'gone' and lease_until > clock_timestamp()`;

/** The cluster's memory in PostgreSQL: tables `cluster_nodes` and `partitions`. Every verb is one short transaction. */
export function createPostgresClusterStore(db: Kysely<unknown>): ClusterStore {
  return {
    async join({ id, address, host, publicKey, weight }, ttlMs) {
      return db.transaction().execute(async (tx) => {
        await sql`
          delete from cluster_nodes where (address = ${address} and host = ${host} and id <> ${id})
            or lease_until < clock_timestamp() - interval '1 hour'
        `.execute(tx);
        const { rows } = await sql<{ incarnation: number }>`
          insert into cluster_nodes as n (id, incarnation, address, host, public_key, weight, status, lease_until)
          values (${id}, 1, ${address}, ${host}, ${publicKey}, ${weight}, 'up', clock_timestamp() + ${ttlMs}::int * interval '1 ms')
          on conflict (id) do update set incarnation = n.incarnation + 1, address = excluded.address, host = excluded.host,
            public_key = excluded.public_key, weight = excluded.weight, status = 'up', lease_until = excluded.lease_until
          returning incarnation
        `.execute(tx);
        const [row] = rows;
        if (!row) throw new Error(`node ${id} could not join`);
        return { id, incarnation: row.incarnation };
      });
    },
    async renew({ id, incarnation }, ttlMs) {
      const { numAffectedRows } = await sql`
        update cluster_nodes set lease_until = clock_timestamp() + ${ttlMs}::int * interval '1 ms'
        where id = ${id} and incarnation = ${incarnation} and status <> 'gone'
      `.execute(db);
      return numAffectedRows === 1n;
    },
    async drain({ id, incarnation }) {
      await sql`
        update cluster_nodes set status = 'draining' where id = ${id} and incarnation = ${incarnation} and status = 'up'
      `.execute(db);
    },
    async leave({ id, incarnation }) {
      await sql`update cluster_nodes set status = 'gone' where id = ${id} and incarnation = ${incarnation}`.execute(db);
    },
    async expire({ id, incarnation }) {
      const { numAffectedRows } = await sql`
        update cluster_nodes set status = 'gone' where id = ${id} and incarnation = ${incarnation} and status <> 'gone'
      `.execute(db);
      // A frozen process keeps its connections, and a transaction that it left open would hold partitions for ever.
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where application_name = ${connectionName(id)}`.execute(db);
      return numAffectedRows === 1n;
    },
    async nodes() {
      const { rows } = await sql<Omit<NodeRow, 'publicKey' | 'leaseMs'> & { public_key: string; lease_ms: number }>`
        select id, incarnation, address, host, public_key, weight, status,
          (extract(epoch from lease_until - clock_timestamp()) * 1000)::float8 as lease_ms
        from cluster_nodes where status <> 'gone' and lease_until > clock_timestamp() order by id
      `.execute(db);
      return rows.map(({ public_key: publicKey, lease_ms: leaseMs, ...row }) => ({ ...row, publicKey, leaseMs }));
    },
    async partitions() {
      const { rows } = await sql<{ id: number; epoch: number; coordinator: string | null; incarnation: number | null }>`
        select id, epoch, coordinator, incarnation from partitions order by id
      `.execute(db);
      return rows.map(({ id, epoch, coordinator, incarnation }): PartitionRow => {
        const owner = coordinator === null || incarnation === null ? null : { id: coordinator, incarnation };
        return { id, epoch, owner };
      });
    },
    async takeOver({ id, incarnation }, partitions) {
      if (partitions.length === 0) return new Map();
      return db.transaction().execute(async (tx) => {
        // One order for all takers; and the next statement sees what was committed while this one waited.
        await sql`select id from partitions where id = any(${[...partitions]}::int[]) order by id for update`.execute(tx);
        const { rows } = await sql<{ id: number; epoch: number }>`
          update partitions p set coordinator = ${id}, incarnation = ${incarnation},
            epoch = greatest(p.epoch + 1, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
          where p.id = any(${[...partitions]}::int[])
            and (p.coordinator is null or p.incarnation is null or not exists (select 1 from cluster_nodes where ${LIFE}))
            and exists (
              select 1 from cluster_nodes me
              where me.id = ${id} and me.incarnation = ${incarnation} and me.status <> 'gone' and me.lease_until > clock_timestamp()
            )
          returning p.id, p.epoch
        `.execute(tx);
        return new Map(rows.map((row) => [row.id, row.epoch]));
      });
    },
    async release({ id, incarnation }, epochs) {
      const held = [...epochs].sort(([a], [b]) => a - b);
      if (held.length === 0) return;
      await db.transaction().execute(async (tx) => {
        await sql`select id from partitions where id = any(${held.map(([p]) => p)}::int[]) order by id for update`.execute(tx);
        await sql`
          update partitions p set coordinator = null, incarnation = null
          from unnest(${held.map(([p]) => p)}::int[], ${held.map(([, e]) => e)}::bigint[]) as held (id, epoch)
          where p.id = held.id and p.epoch = held.epoch and p.coordinator = ${id} and p.incarnation = ${incarnation}
        `.execute(tx);
      });
    },
  };
}
