import { sql } from 'kysely';

import type { JobSpec } from '#actors/contract/job-spec.ts';
import { partitionOf } from '../partition.ts';
import { holdEpochs } from './hold-epochs.ts';
import { isJobId } from './rows.ts';
import { type Database, inTransaction } from './transaction.ts';

/** An update of one row needs no lock before it. */
export async function resolveSpec(db: Database, id: string, epoch: number, spec: JobSpec): Promise<boolean> {
  if (!isJobId(id)) return false;
  return inTransaction(db, async (tx) => {
    await holdEpochs(tx, [[partitionOf(id), epoch]]);
    const { rows } = await sql`
      update jobs set spec = ${JSON.stringify(spec)}::json where id = ${id} and state = 'queued' returning id
    `.execute(tx);
    return rows.length === 1;
  });
}
