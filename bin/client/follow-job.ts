import { setTimeout as sleep } from 'node:timers/promises';

import type { JobSummary } from '#actors/contract/live.ts';
import { GridError } from '#runtime/errors.ts';

import type { GridClient } from './grid-client.ts';
import { createProgress } from './print.ts';

const FIRST_POLL_MS = 100;
const LONGEST_POLL_MS = 1_000;
/** A coordinator that restarts is back within seconds; a follower outlives it. */
const PATIENCE_MS = 60_000;

export function isOver(job: JobSummary): boolean {
  return job.state === 'done' || job.state === 'failed' || job.state === 'cancelled';
}

function progressLine(job: JobSummary): string {
  const { counts } = job;
  const agreed = counts.provisional + counts.sealed;
  const waiting = counts.pending + counts.blocked;
  return `${job.name}: ${job.state}, ${agreed} of ${job.shards} agreed, ${counts.leased + counts.voting} running, ${waiting} waiting`;
}

/** Follows a job to its end, with progress on stderr; outlives a restart of the coordinator. */
export async function followJob(client: GridClient, id: string, onProgress?: (job: JobSummary) => void): Promise<JobSummary> {
  const progress = createProgress();
  let lostAt: number | null = null;
  try {
    for (let pause = FIRST_POLL_MS; ; pause = Math.min(pause * 1.5, LONGEST_POLL_MS)) {
      try {
        const job = await client.job(id);
        lostAt = null;
        if (onProgress === undefined) progress.update(progressLine(job));
        else onProgress(job);
        if (isOver(job)) return job;
      } catch (error) {
        if (!(error instanceof GridError) || error.status < 500) throw error;
        lostAt ??= Date.now();
        if (Date.now() - lostAt > PATIENCE_MS) throw error;
        progress.update('the grid does not answer, trying again ...');
      }
      await sleep(pause);
    }
  } finally {
    progress.end();
  }
}
