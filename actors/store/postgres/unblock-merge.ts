import { sql } from 'kysely';

import { partitionOf } from '../partition.ts';
import { holdEpochs } from './hold-epochs.ts';
import { isJobId } from './rows.ts';
import { type Database, inTransaction } from './transaction.ts';

/** Only one shard of a job is ever blocked; an update of one row needs no lock before it. */
export async function unblockMerge(db: Database, id: string, epoch: number): Promise<boolean> {
  if (!isJobId(id)) return false;
  return inTransaction(db, async (tx) => {
    await holdEpochs(tx, [[partitionOf(id), epoch]]);
    const { rows } = await sql`update job_shards set state = 'pending' where job_id = ${id} and state = 'blocked' returning id`.execute(tx);
    return rows.length === 1;
  });
}
