import { sql } from 'kysely';

import { type Database, inTransaction } from './transaction.ts';

/** Waits for the writes that still hold a partition, then raises every epoch: what comes later from others is stale. */
export async function takePartitions(db: Database, coordinator: string): Promise<ReadonlyMap<number, number>> {
  return inTransaction(db, async (tx) => {
    await sql`
      insert into coordinators (id, took_partitions_at) values (${coordinator}, floor(extract(epoch from now()) * 1000)::bigint)
      on conflict (id) do update set took_partitions_at = excluded.took_partitions_at
    `.execute(tx);
    await sql`select id from partitions order by id for update`.execute(tx);
    const { rows } = await sql<{ id: number; epoch: number }>`
      update partitions set epoch = epoch + 1, coordinator = ${coordinator} returning id, epoch
    `.execute(tx);
    return new Map(rows.map((row) => [row.id, row.epoch]));
  });
}
