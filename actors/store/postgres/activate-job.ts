import { sql } from 'kysely';

import { quorumOf } from '#actors/contract/job-spec.ts';
import { partitionOf } from '../partition.ts';
import { OPEN_SHARD_STATES, VOTING_ATTEMPT_STATES } from '../shard-rules.ts';
import type { ActiveJob } from '../store.ts';
import { holdEpochs } from './hold-epochs.ts';
import { shardStates } from './read-shards.ts';
import {
  ATTEMPT_COLUMNS,
  type AttemptRecord,
  attemptRow,
  isJobId,
  JOB_COLUMNS,
  type JobRecord,
  jobRow,
  SHARD_COLUMNS,
  type ShardRecord,
  shardRow,
  stateList,
  VOTE_COLUMNS,
  type VoteRecord,
  voteRow,
} from './rows.ts';
import { type Database, inTransaction } from './transaction.ts';

/** One view of the job for its actors: a claim or a commit that runs beside it is in all of what they get, or in nothing. */
export async function activateJob(db: Database, id: string, epoch: number): Promise<ActiveJob | null> {
  if (!isJobId(id)) return null;
  return inTransaction(
    db,
    async (tx) => {
      await holdEpochs(tx, [[partitionOf(id), epoch]]);
      const jobs = await sql<JobRecord>`update jobs j set epoch = ${epoch} where j.id = ${id} returning ${JOB_COLUMNS}`.execute(tx);
      const [job] = jobs.rows;
      if (!job) return null;
      const states = await shardStates(tx, id);
      const touched = await sql<ShardRecord>`
      select ${SHARD_COLUMNS} from job_shards s
      where s.job_id = ${id} and s.state in (${stateList([...OPEN_SHARD_STATES, 'blocked'])})
        and (s.wanted <> ${quorumOf(job.spec)}::int or s.core_only)
      order by s.id
    `.execute(tx);
      const attempts = await sql<AttemptRecord>`
      select ${ATTEMPT_COLUMNS} from job_shards s join shard_attempts a on a.shard_id = s.id
      where s.job_id = ${id} and s.state in (${stateList(OPEN_SHARD_STATES)}) and a.state in (${stateList(VOTING_ATTEMPT_STATES)})
      order by a.seq
    `.execute(tx);
      const votes = await sql<VoteRecord>`
      select ${VOTE_COLUMNS} from job_shards s join shard_results v on v.shard_id = s.id and v.refusal is null
      where s.job_id = ${id} and s.state in (${stateList(OPEN_SHARD_STATES)})
      order by v.id
    `.execute(tx);
      const counted = await sql<{ votes: number }>`
      select count(*) as votes from shard_results v where v.job_id = ${id} and v.refusal is null
    `.execute(tx);
      return {
        job: jobRow(job),
        states,
        touched: touched.rows.map(shardRow),
        attempts: attempts.rows.map(attemptRow),
        votes: votes.rows.map(voteRow),
        voteCount: counted.rows[0]?.votes ?? 0,
      };
    },
    'repeatable read',
  );
}
