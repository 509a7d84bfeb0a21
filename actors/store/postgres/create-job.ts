import { sql } from 'kysely';

import { mapShardCount, maxErrorOf, quorumOf, shardCount } from '#actors/contract/job-spec.ts';
import { partitionOf } from '../partition.ts';
import type { JobRow, NewJob } from '../store.ts';
import { holdEpochs } from './hold-epochs.ts';
import { JOB_COLUMNS, type JobRecord, jobRow } from './rows.ts';
import { type Database, inTransaction, type Tx } from './transaction.ts';

/** The job and all its shards, both or neither. The database itself expands the shards, however many they are. */
export async function createJob(db: Database, job: NewJob, epoch: number): Promise<{ created: boolean; job: JobRow }> {
  const partition = partitionOf(job.id);
  return inTransaction(db, async (tx) => {
    await holdEpochs(tx, [[partition, epoch]]);
    const { rows } = await sql<JobRecord>`
      insert into jobs as j (id, partition, tenant, submitted_by, spec, priority, app, state, epoch, submitted_at)
      values (${job.id}, ${partition}, ${job.tenant}, ${job.submittedBy}, ${JSON.stringify(job.spec)}::json, ${job.spec.priority},
        ${maxErrorOf(job.spec) === null ? null : job.spec.module.sha256}, 'queued', ${epoch}, ${job.at})
      on conflict (id) do nothing
      returning ${JOB_COLUMNS}
    `.execute(tx);
    const [record] = rows;
    if (!record) return { created: false, job: await existing(tx, job.id) };
    await insertShards(tx, job);
    return { created: true, job: jobRow(record) };
  });
}

/** The merge shard, when there is one, comes last and waits `blocked` for the map. */
async function insertShards(tx: Tx, { id, spec }: NewJob): Promise<void> {
  await sql`
    insert into job_shards (job_id, shard_index, state, wanted, failures)
    select ${id}::uuid, i, case when i < ${mapShardCount(spec)}::int then 'pending' else 'blocked' end, ${quorumOf(spec)}::int, 0
    from generate_series(0, ${shardCount(spec) - 1}::int) i
  `.execute(tx);
}

async function existing(tx: Tx, id: string): Promise<JobRow> {
  const { rows } = await sql<JobRecord>`select ${JOB_COLUMNS} from jobs j where j.id = ${id}`.execute(tx);
  if (!rows[0]) throw new Error(`Job ${id} conflicts with one that cannot be read.`);
  return jobRow(rows[0]);
}
