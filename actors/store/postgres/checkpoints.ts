import { sql } from 'kysely';

import type { CheckpointRow, KeepingVerbs } from '../keeping.ts';
import { partitionOf } from '../partition.ts';
import { holdEpochs } from './hold-epochs.ts';
import { isJobId } from './rows.ts';
import { type Database, inTransaction } from './transaction.ts';

type Checkpoints = Pick<KeepingVerbs, 'saveCheckpoint' | 'checkpointsOf' | 'dropCheckpoint'>;

interface Row {
  readonly device: string;
  readonly epoch: number;
  readonly seq: number;
  readonly sha256: string;
  readonly size: number;
  readonly steps: number;
  readonly at: number;
}

/** Each touches one row, which needs no lock before it. */
export function checkpointVerbs(db: Database): Checkpoints {
  return {
    saveCheckpoint: ({ job, index, device, fence, object, steps, at }: CheckpointRow, epoch) =>
      inTransaction(db, async (tx) => {
        await holdEpochs(tx, [[partitionOf(job), epoch]]);
        const { rows } = await sql`
          insert into checkpoints (job_id, shard_index, device, epoch, seq, sha256, size, steps, at)
          values (${job}, ${index}, ${device}, ${fence.epoch}, ${fence.seq}, ${object.sha256}, ${object.size}, ${steps}, ${at})
          on conflict (job_id, shard_index, device) do update set
            epoch = excluded.epoch, seq = excluded.seq, sha256 = excluded.sha256, size = excluded.size,
            steps = excluded.steps, at = excluded.at
          where checkpoints.seq < excluded.seq or (checkpoints.seq = excluded.seq and checkpoints.steps < excluded.steps)
          returning device
        `.execute(tx);
        return rows.length === 1;
      }),
    async checkpointsOf(job, index) {
      if (!isJobId(job)) return [];
      const { rows } = await sql<Row>`
        select device, epoch, seq, sha256, size, steps, at from checkpoints
        where job_id = ${job} and shard_index = ${index} order by device
      `.execute(db);
      return rows.map(({ device, epoch, seq, sha256, size, steps, at }) => {
        return { job, index, device, fence: { epoch, seq }, object: { sha256, size }, steps, at };
      });
    },
    dropCheckpoint: (job, epoch, index, sha256) =>
      inTransaction(db, async (tx) => {
        await holdEpochs(tx, [[partitionOf(job), epoch]]);
        await sql`delete from checkpoints where job_id = ${job} and shard_index = ${index} and sha256 = ${sha256}`.execute(tx);
      }),
  };
}
