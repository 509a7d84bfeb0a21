import { sql } from 'kysely';

import { CALM_EVENTS, type HistoryQuery, type HistoryRow } from '../history.ts';
import { isJobId } from './rows.ts';
import type { Database } from './transaction.ts';

type Row = Omit<HistoryRow, 'fence'> & { readonly epoch: number; readonly seq: number };

export async function historyOf(db: Database, job: string, { index, limit, trouble }: HistoryQuery): Promise<readonly HistoryRow[]> {
  if (!isJobId(job)) return [];
  const { rows } = await sql<Row>`
    with attempts as (
      select a.* from job_shards s join shard_attempts a on a.shard_id = s.id
      where s.job_id = ${job} and (${index}::int is null or s.shard_index = ${index}::int)
    ), happened as (
      select leased_at as at, shard_index as index, device, epoch, seq, 'leased' as event, null as reason from attempts
      union all
      select ended_at, shard_index, device, epoch, seq, state, reason from attempts where ended_at is not null
      union all
      select at, shard_index, device, epoch, seq, 'vote refused', refusal from shard_results
      where job_id = ${job} and refusal is not null and (${index}::int is null or shard_index = ${index}::int)
    )
    select at, index::float8 as index, device, epoch, seq, event, reason from happened
    where not ${trouble}::boolean or event <> all(${[...CALM_EVENTS]}::text[])
    order by at desc, seq desc, event desc limit ${limit}
  `.execute(db);
  return rows.map(({ epoch, seq, ...row }) => ({ ...row, fence: { epoch, seq } }));
}
