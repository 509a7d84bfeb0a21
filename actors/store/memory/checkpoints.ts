import type { CheckpointRow, KeepingVerbs } from '../keeping.ts';
import { partitionOf } from '../partition.ts';
import { holdEpochs, type Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

type Checkpoints = Pick<KeepingVerbs, 'saveCheckpoint' | 'checkpointsOf' | 'dropCheckpoint'>;

export function checkpointVerbs(connection: Connection, tables: Tables): Checkpoints {
  const of = (job: string, index: number): CheckpointRow[] =>
    [...tables.checkpoints.values()]
      .filter((row) => row !== null)
      .filter((row) => row.job === job && row.index === index)
      .sort((a, b) => (a.device < b.device ? -1 : 1));
  return {
    saveCheckpoint: (row, epoch) =>
      connection.transaction('saveCheckpoint', async (tx) => {
        const name = `${row.job} ${row.index} ${row.device}`;
        await holdEpochs(tx, tables, [[partitionOf(row.job), epoch]]);
        await tx.statement();
        await tx.lock('checkpoint', [name], 'update');
        const known = tables.checkpoints.get(name) ?? null;
        if (known !== null && (known.fence.seq > row.fence.seq || (known.fence.seq === row.fence.seq && known.steps >= row.steps)))
          return false;
        tx.put(tables.checkpoints, name, { ...row });
        return true;
      }),
    checkpointsOf: (job, index) => connection.read('checkpointsOf', () => of(job, index)),
    dropCheckpoint: (job, epoch, index, sha256) =>
      connection.transaction('dropCheckpoint', async (tx) => {
        await holdEpochs(tx, tables, [[partitionOf(job), epoch]]);
        await tx.statement();
        for (const { device, object } of of(job, index)) {
          if (object.sha256 !== sha256) continue;
          const name = `${job} ${index} ${device}`;
          await tx.lock('checkpoint', [name], 'update');
          if (tables.checkpoints.get(name)?.object.sha256 === sha256) tx.put(tables.checkpoints, name, null);
        }
      }),
  };
}
