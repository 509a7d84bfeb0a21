import { randomUUID } from 'node:crypto';

import type { JobSummary } from '#actors/contract/live.ts';

import type { GridClient } from './grid-client.ts';
import { packJob, type PackOverrides } from './pack-job.ts';
import { createProgress } from './print.ts';

/** Uploads at once: enough to hide the store's fsync, few enough for a laptop. */
const UPLOADS = 4;

/** Packs a job file, uploads what the grid does not have, and submits. A repeated call after a failure sends only the rest. */
export async function submitJobFile(
  client: GridClient,
  file: string,
  overrides: PackOverrides,
  onPacked?: (text: string) => void,
): Promise<JobSummary> {
  const packed = await packJob(file, overrides);
  const progress = createProgress();
  try {
    const queue = [...packed.objects];
    let done = 0;
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        await client.upload(next.ref, next);
        done += 1;
        if (onPacked === undefined) progress.update(`uploading ${done} of ${packed.objects.length} objects`);
      }
    };
    await Promise.all(Array.from({ length: UPLOADS }, worker));
    for (const { path, reason } of packed.leftOut) process.stderr.write(`left out: ${path} ${reason}\n`);
    onPacked?.(`${packed.files} files, ${packed.bytes} bytes, ${packed.objects.length} objects`);
  } finally {
    progress.end();
  }
  return client.submit({ id: randomUUID(), spec: packed.spec });
}
