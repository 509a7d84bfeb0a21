import { sql } from 'kysely';

import { SHARD_STATES } from '#actors/contract/job-states.ts';
import type { AttemptRow, ShardRange, ShardRow, VoteRow } from '../store.ts';
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
export async function shardsOf(db: Database, job: string, range: ShardRange = null): Promise<readonly ShardRow[]> {
  if (!isJobId(job)) return [];
  const { rows } = await sql<ShardRecord>`
    select ${SHARD_COLUMNS} from job_shards s
    where s.job_id = ${job} ${inRange(sql.ref('s.shard_index'), range)}
    order by s.shard_index
  `.execute(db);
  return rows.map(shardRow);
}

/** By shard, then in the order in which they were leased. */
export async function attemptsOf(db: Database, job: string, index: number | null): Promise<readonly AttemptRow[]> {
  if (!isJobId(job)) return [];
  const { rows } = await sql<AttemptRecord>`
    select ${ATTEMPT_COLUMNS} from job_shards s join shard_attempts a on a.shard_id = s.id
    where s.job_id = ${job} ${inRange(sql.ref('s.shard_index'), index)}
    order by a.shard_index, a.seq
  `.execute(db);
  return rows.map(attemptRow);
}

/** By shard, then in the order in which they came; refused ones included. */
export async function votesOf(db: Database, job: string, range: ShardRange): Promise<readonly VoteRow[]> {
  if (!isJobId(job)) return [];
  const { rows } = await sql<VoteRecord>`
    select ${VOTE_COLUMNS} from shard_results v
    where v.job_id = ${job} ${inRange(sql.ref('v.shard_index'), range)}
    order by v.shard_index, v.id
  `.execute(db);
  return rows.map(voteRow);
}

/** Shards whose states are read at once: as text, one letter each. */
const WINDOW = 100_000;

/** One letter for each shard, window by window: a million rows would be a hundred times as much. */
export async function shardStates(db: Database, job: string): Promise<Uint8Array> {
  if (!isJobId(job)) return new Uint8Array();
  const windows: Uint8Array[] = [];
  for (let from = 0; ; from += WINDOW) {
    const { rows } = await sql<{ states: string | null }>`
      select string_agg(array_position(${[...SHARD_STATES]}::text[], state)::text, '' order by shard_index) as states
      from job_shards where job_id = ${job} and shard_index >= ${from}::int and shard_index < ${from + WINDOW}::int
    `.execute(db);
    const states = Buffer.from(rows[0]?.states ?? '', 'latin1');
    windows.push(states.map((letter) => letter - FIRST));
    if (states.length < WINDOW) return Buffer.concat(windows);
  }
}

/** PostgreSQL counts from 1. */
const FIRST = '1'.charCodeAt(0);

function inRange(column: ReturnType<typeof sql.ref>, range: ShardRange) {
  if (range === null) return sql``;
  if (typeof range === 'number') return sql`and ${column} = ${range}::bigint`;
  return sql`and ${column} >= ${range.from}::bigint and ${column} < ${range.to}::bigint`;
}
