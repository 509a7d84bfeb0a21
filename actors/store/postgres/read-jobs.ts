import { sql } from 'kysely';

import type { JobRow } from '../store.ts';
import { isJobId, JOB_COLUMNS, type JobRecord, jobRow } from './rows.ts';
import type { Database } from './transaction.ts';

export async function findJob(db: Database, id: string): Promise<JobRow | null> {
  if (!isJobId(id)) return null;
  const { rows } = await sql<JobRecord>`select ${JOB_COLUMNS} from jobs j where j.id = ${id}`.execute(db);
  return rows[0] ? jobRow(rows[0]) : null;
}

/** Newest first; of one tenant, or of all when it is null. */
export async function listJobs(db: Database, tenant: string | null, limit: number): Promise<readonly JobRow[]> {
  const ofTenant = tenant === null ? sql`` : sql`where j.tenant = ${tenant}`;
  const { rows } = await sql<JobRecord>`
    select ${JOB_COLUMNS} from jobs j ${ofTenant} order by j.submitted_at desc, j.id desc limit ${limit}
  `.execute(db);
  return rows.map(jobRow);
}

export async function openJobs(db: Database, partitions: readonly number[]): Promise<readonly { id: string; partition: number }[]> {
  const { rows } = await sql<{ id: string; partition: number }>`
    select id, partition from jobs
    where state in ('queued', 'running', 'paused', 'sealing') and partition = any(${[...partitions]}::int[])
    order by submitted_at, id
  `.execute(db);
  return rows;
}
