import { randomUUID } from 'node:crypto';

import type { JobSummary } from '#actors/contract/live.ts';

import type { GridClient } from './grid-client.ts';
import { packJobs, type PackOverrides } from './pack-job.ts';
import type { PackedObject } from './pack-shards.ts';
import { createProgress } from './print.ts';

/** Uploads at once: enough to hide the store's fsync, few enough for a laptop. */
const UPLOADS = 4;

/**
 * Packs a job file, uploads what the grid does not have, and submits its jobs, each after those that it needs. A repeated call
 * after a failure uploads only the rest. One summary for each job of the file, in the order of their submission.
 */
export async function submitJobFile(
  client: GridClient,
  file: string,
  overrides: PackOverrides,
  onPacked?: (text: string) => void,
): Promise<readonly JobSummary[]> {
  const packed = await packJobs(file, randomUUID, overrides);
  const objects = new Map(packed.flatMap((job) => job.objects).map((object) => [object.ref.sha256, object]));
  await uploadAll(client, [...objects.values()], onPacked === undefined);
  for (const { path, reason } of packed.flatMap((job) => job.leftOut)) process.stderr.write(`left out: ${path} ${reason}\n`);
  const sum = (of: (job: (typeof packed)[number]) => number): number => packed.reduce((total, job) => total + of(job), 0);
  onPacked?.(`${sum((job) => job.files)} files, ${sum((job) => job.bytes)} bytes, ${objects.size} objects`);
  const submitted: JobSummary[] = [];
  for (const { id, spec } of packed) submitted.push(await client.submit({ id, spec }));
  return submitted;
}

async function uploadAll(client: GridClient, objects: readonly PackedObject[], shown: boolean): Promise<void> {
  const progress = createProgress();
  try {
    const queue = [...objects];
    let done = 0;
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await client.upload(next.ref, next);
        done += 1;
        if (shown) progress.update(`uploading ${done} of ${objects.length} objects`);
      }
    };
    await Promise.all(Array.from({ length: UPLOADS }, worker));
  } finally {
    progress.end();
  }
}
