import type { JobSummary } from '#actors/contract/live.ts';

import type { JobFilter } from '../../app/routes.ts';

/** Which chip a job belongs under, besides `all`. */
export function filterOf(job: JobSummary): Exclude<JobFilter, 'all'> {
  switch (job.state) {
    case 'done':
      return 'done';
    case 'failed':
    case 'cancelled':
      return 'failed';
    case 'queued':
    case 'running':
    case 'paused':
    case 'sealing':
      return 'open';
  }
}

export function jobsIn(filter: JobFilter, jobs: readonly JobSummary[]): JobSummary[] {
  return jobs.filter((job) => filter === 'all' || filterOf(job) === filter);
}

/** Newest first. */
export function newestFirst(a: JobSummary, b: JobSummary): number {
  return b.submittedAt - a.submittedAt || (a.id < b.id ? 1 : -1);
}
