import { sql } from 'kysely';

import type { ShardState } from '#actors/contract/job-states.ts';
import { emptyTally, type JobTally } from '../job-tally.ts';
import { isJobId } from './rows.ts';
import type { Database } from './transaction.ts';

/** Jobs that do not exist are not in the answer. */
export async function tallyJobs(db: Database, ids: readonly string[]): Promise<ReadonlyMap<string, JobTally>> {
  const jobs = ids.filter(isJobId);
  const { rows } = await sql<{ job_id: string; state: ShardState | null; n: number }>`
    select job_id, state, count(*) as n from job_shards where job_id = any(${jobs}::uuid[]) group by job_id, state
    union all
    select job_id, null, count(*) from shard_results where job_id = any(${jobs}::uuid[]) and refusal is null group by job_id
  `.execute(db);
  const tallies = new Map<string, JobTally>();
  for (const { job_id: job, state, n } of rows) {
    const tally = tallies.get(job) ?? emptyTally();
    tallies.set(job, tally);
    if (state === null) tally.votes = n;
    else tally.counts[state] = n;
  }
  return tallies;
}
