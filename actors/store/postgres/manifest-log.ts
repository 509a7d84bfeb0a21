import { sql } from 'kysely';

import { isJobId } from './rows.ts';
import type { Database } from './transaction.ts';

/** Leaf hashes of the first `size` entries; of all when it is null. */
export async function manifestLog(db: Database, size: number | null): Promise<readonly Uint8Array[]> {
  const { rows } = await sql<{ leaf: Uint8Array }>`
    select leaf from manifest_log where ${size}::bigint is null or position < ${size}::bigint order by position
  `.execute(db);
  return rows.map(({ leaf }) => new Uint8Array(leaf));
}

export async function logPosition(db: Database, job: string): Promise<number | null> {
  if (!isJobId(job)) return null;
  const { rows } = await sql<{ position: number }>`select position from manifest_log where job_id = ${job}`.execute(db);
  return rows[0]?.position ?? null;
}
