import { Queue, Worker } from 'bullmq';

import { startRedis } from '#tests/support/redis-server.ts';

import type { QueueRates } from './graphile.ts';

const CONCURRENCY = 200;
const PER_CALL = 500;
const PAYLOAD = { x: 'x'.repeat(60) };

/** Jobs per second of BullMQ on a Redis that syncs its log before every answer: 200 at once, added 500 at a time. */
export async function bullMq(jobs: number): Promise<QueueRates> {
  const redis = await startRedis({ durable: true });
  const connection = { host: '127.0.0.1', port: redis.port, maxRetriesPerRequest: null };
  const queue = new Queue('bench', { connection, defaultJobOptions: { removeOnComplete: true } });
  let worker: Worker | undefined;
  try {
    await queue.waitUntilReady();
    const started = performance.now();
    for (let at = 0; at < jobs; at += PER_CALL) {
      await queue.addBulk(Array.from({ length: Math.min(PER_CALL, jobs - at) }, () => ({ name: 'nothing', data: PAYLOAD })));
    }
    const added = performance.now();
    const all = Promise.withResolvers<void>();
    let done = 0;
    worker = new Worker('bench', async () => {}, { connection, concurrency: CONCURRENCY });
    worker.on('completed', () => {
      if (++done === jobs) all.resolve();
    });
    worker.on('error', all.reject);
    await all.promise;
    const ended = performance.now();
    return { endToEnd: jobs / ((ended - started) / 1_000), consume: jobs / ((ended - added) / 1_000) };
  } finally {
    await worker?.close();
    await queue.close();
    await redis.end();
  }
}
