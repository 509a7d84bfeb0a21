import type { RunCommand, ToAgent } from '#actors/contract/agent-link.ts';

import { inParcels } from './parcels.ts';

/** Commands of one turn as they are sent: one message for each job, or one by one to an agent that does not know batches. */
export function inRunBatches(waiting: readonly RunCommand[], takesBatches: boolean): ToAgent[] {
  const batches = Map.groupBy(waiting, ({ job, module, framed }) => `${job} ${module.sha256} ${framed}`);
  return [...batches.values()].flatMap(inParcels).flatMap((batch): readonly ToAgent[] => {
    const [first] = batch;
    if (first === undefined || !takesBatches || batch.length === 1) return batch;
    const { partition, job, kind, module, framed, limits } = first;
    const shards = batch.map(({ type: _t, partition: _p, job: _j, kind: _k, module: _m, framed: _f, limits: _l, ...own }) => own);
    return [{ type: 'runs', partition, job, kind, module, framed, limits, shards }];
  });
}
