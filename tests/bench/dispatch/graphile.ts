import { Logger, makeWorkerUtils, run } from 'graphile-worker';

import { openPool } from './pg-pool.ts';

const CONCURRENCY = 24;
const QUEUE = 500;
const PER_CALL = 500;
const PAYLOAD = 'x'.repeat(60);
const SCHEMA = 'bench_graphile';
const SILENT = new Logger(() => () => undefined);

/** Jobs per second of graphile-worker as fast as it goes: 24 at once from a local queue of 500, completions in batches. */
export interface QueueRates {
  /** From the first `addJobs` until every job has run and none is left in the database. */
  readonly endToEnd: number;
  /** The second half of that alone: all jobs are there when the worker starts. */
  readonly consume: number;
}

export async function graphileWorker(url: string, jobs: number): Promise<QueueRates> {
  const pool = await openPool(url, CONCURRENCY + 4);
  const shared = { pgPool: pool.native as never, schema: SCHEMA, logger: SILENT };
  const utils = await makeWorkerUtils(shared);
  try {
    await utils.migrate();
    const started = performance.now();
    for (let at = 0; at < jobs; at += PER_CALL) {
      const specs = Array.from({ length: Math.min(PER_CALL, jobs - at) }, () => ({ identifier: 'nothing', payload: { x: PAYLOAD } }));
      await utils.addJobs(specs);
    }
    const added = performance.now();
    const all = Promise.withResolvers<void>();
    let done = 0;
    const runner = await run({
      ...shared,
      taskList: {
        nothing: () => {
          if (++done === jobs) all.resolve();
        },
      },
      noHandleSignals: true,
      concurrency: CONCURRENCY,
      preset: {
        worker: {
          localQueue: { size: QUEUE, ttl: 60_000, refetchDelay: { durationMs: 10 } },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
    });
    await all.promise;
    // Stopping writes the last completions.
    await runner.stop();
    const ended = performance.now();
    const { rows } = await pool.query(`select count(*)::int as n from ${SCHEMA}._private_jobs`);
    if (rows[0]?.['n'] !== 0) throw new Error(`graphile-worker left ${String(rows[0]?.['n'])} jobs`);
    return { endToEnd: jobs / ((ended - started) / 1_000), consume: jobs / ((ended - added) / 1_000) };
  } finally {
    await utils.release();
    await pool.query(`drop schema if exists ${SCHEMA} cascade`);
    await pool.close();
  }
}
