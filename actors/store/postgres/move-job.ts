import { sql } from 'kysely';

import type { JobState, ShardState } from '#actors/contract/job-states.ts';
import { partitionOf } from '../partition.ts';
import { OPEN_SHARD_STATES, VOTING_ATTEMPT_STATES } from '../shard-rules.ts';
import { storableText } from '../storable-text.ts';
import { holdEpochs } from './hold-epochs.ts';
import { isJobId, stateList } from './rows.ts';
import { type Database, inTransaction, type Tx } from './transaction.ts';

export interface JobMove {
  readonly id: string;
  readonly epoch: number;
  readonly from: readonly JobState[];
  readonly to: JobState;
  readonly reason: string | null;
  readonly at: number;
}

/**
 * Moves the job when it is in one of `from`. A claim holds the row of its job, so no lease comes after this has answered.
 * Cancelling and failing release whatever may still vote, stop claims, and mark the shards that failed too often.
 */
export async function moveJob(db: Database, move: JobMove): Promise<boolean> {
  if (!isJobId(move.id)) return false;
  const stops = move.to === 'cancelled' || move.to === 'failed';
  const finishedAt = stops || move.to === 'done' ? move.at : null;
  const reason = move.reason === null ? null : storableText(move.reason);
  return inTransaction(db, async (tx) => {
    await holdEpochs(tx, [[partitionOf(move.id), move.epoch]]);
    if (stops) await lockShards(tx, move.id);
    const { rows } = await sql<{ max_failures: number }>`
      update jobs set state = ${move.to}, reason = ${reason}, finished_at = ${finishedAt}::bigint
      where id = ${move.id} and state = any(${[...move.from]}::text[])
      returning (spec ->> 'maxFailures')::int as max_failures
    `.execute(tx);
    const [moved] = rows;
    if (moved && stops) await stopShards(tx, { ...move, reason }, moved.max_failures);
    return moved !== undefined;
  });
}

/**
 * Shards that somebody may be at work on, in id order, as everybody locks them; they stay on the server. What nobody was ever
 * given is not touched, so that a million such shards cost nothing: claims look at running jobs only.
 */
async function lockShards(tx: Tx, job: string): Promise<void> {
  await sql`
    select count(*) from (
      select 1 from job_shards where job_id = ${job} and state in (${stateList(BEGUN)}) order by id for no key update
    ) locked
  `.execute(tx);
}

const BEGUN: readonly ShardState[] = OPEN_SHARD_STATES.filter((state) => state !== 'pending');

async function stopShards(tx: Tx, { id, to, reason, at }: JobMove, maxFailures: number): Promise<void> {
  await sql`
    update shard_attempts a set state = 'released', ended_at = coalesce(a.ended_at, ${at}::bigint), reason = coalesce(${reason}, ${`job ${to}`})
    from job_shards s
    where s.job_id = ${id} and s.state <> 'pending' and a.shard_id = s.id and a.state in (${stateList(VOTING_ATTEMPT_STATES)})
  `.execute(tx);
  await sql`
    update job_shards set
      wanted = 0,
      state = case when ${to} = 'failed' and failures >= ${maxFailures}::int then 'failed' else state end
    where job_id = ${id} and state in (${stateList(BEGUN)})
  `.execute(tx);
}
