import { sql } from 'kysely';

import { partitionOf } from '../partition.ts';
import type { Decided } from '../store.ts';
import { holdEpochs } from './hold-epochs.ts';
import { isJobId } from './rows.ts';
import { type Database, inTransaction } from './transaction.ts';

/** Of provisional shards only: what is sealed is never written again. Locked in id order, as everybody does. */
export async function noteDecided(db: Database, job: string, epoch: number, decided: ReadonlyMap<number, Decided | null>): Promise<void> {
  if (!isJobId(job)) return;
  const entries = [...decided];
  await inTransaction(db, async (tx) => {
    await holdEpochs(tx, [[partitionOf(job), epoch]]);
    await sql`
      with note as (
        select * from unnest(
          ${entries.map(([index]) => index)}::int[],
          ${entries.map(([, how]) => how?.belief ?? null)}::float8[],
          ${entries.map(([, how]) => how?.by ?? null)}::text[]
        ) d (index, belief, by)
      ), locked as (
        select s.id, note.belief, note.by from job_shards s join note on s.job_id = ${job} and s.shard_index = note.index
        where s.state = 'provisional' order by s.id for no key update of s
      )
      update job_shards s set belief = locked.belief, decided_by = locked.by from locked where s.id = locked.id
    `.execute(tx);
  });
}
