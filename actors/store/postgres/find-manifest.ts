import { sql } from 'kysely';

import type { ManifestRow } from '../store.ts';
import { isJobId } from './rows.ts';
import type { Database } from './transaction.ts';

export async function findManifest(db: Database, job: string): Promise<ManifestRow | null> {
  if (!isJobId(job)) return null;
  const { rows } = await sql<{ body: string; signature: string; sealed_at: number }>`
    select body, signature, sealed_at from manifests where job_id = ${job}
  `.execute(db);
  return rows[0] ? { job, body: rows[0].body, signature: rows[0].signature, sealedAt: rows[0].sealed_at } : null;
}
