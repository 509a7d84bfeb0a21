import { sql } from 'kysely';

import type { AttemptRow, ShardRow, VoteRow } from '../store.ts';
import {
  ATTEMPT_COLUMNS,
  type AttemptRecord,
  attemptRow,
  isJobId,
  SHARD_COLUMNS,
  type ShardRecord,
  shardRow,
  VOTE_COLUMNS,
  type VoteRecord,
  voteRow,
} from './rows.ts';
import type { Database } from './transaction.ts';

/** In the order of their index. */
export async function shardsOf(db: Database, job: string, index: number | null = null): Promise<readonly ShardRow[]> {
  if (!isJobId(job)) return [];
  const { rows } = await sql<ShardRecord>`
    select ${SHARD_COLUMNS} from job_shards s
    where s.job_id = ${job} ${onlyShard(sql.ref('s.shard_index'), index)}
    order by s.shard_index
  `.execute(db);
  return rows.map(shardRow);
}

/** By shard, then in the order in which they were leased. */
export async function attemptsOf(db: Database, job: string, index: number | null): Promise<readonly AttemptRow[]> {
  if (!isJobId(job)) return [];
  const { rows } = await sql<AttemptRecord>`
    select ${ATTEMPT_COLUMNS} from job_shards s join shard_attempts a on a.shard_id = s.id
    where s.job_id = ${job} ${onlyShard(sql.ref('s.shard_index'), index)}
    order by a.shard_index, a.seq
  `.execute(db);
  return rows.map(attemptRow);
}

/** By shard, then in the order in which they came; refused ones included. */
export async function votesOf(db: Database, job: string, index: number | null): Promise<readonly VoteRow[]> {
  if (!isJobId(job)) return [];
  const { rows } = await sql<VoteRecord>`
    select ${VOTE_COLUMNS} from shard_results v
    where v.job_id = ${job} ${onlyShard(sql.ref('v.shard_index'), index)}
    order by v.shard_index, v.id
  `.execute(db);
  return rows.map(voteRow);
}

function onlyShard(column: ReturnType<typeof sql.ref>, index: number | null) {
  return index === null ? sql`` : sql`and ${column} = ${index}::bigint`;
}
