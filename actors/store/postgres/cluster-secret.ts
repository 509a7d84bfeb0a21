import { sql } from 'kysely';

import type { Database } from './transaction.ts';

/** The first caller's seed is kept; everybody else gets that one. */
export async function clusterSecret(db: Database, makeSeed: () => Uint8Array): Promise<Uint8Array> {
  const kept = await readSeed(db);
  if (kept) return kept;
  await sql`insert into cluster_secrets (name, seed) values ('object-urls', ${Buffer.from(makeSeed())}) on conflict do nothing`.execute(db);
  const seed = await readSeed(db);
  if (!seed) throw new Error('The cluster secret was written and cannot be read.');
  return seed;
}

async function readSeed(db: Database): Promise<Uint8Array | undefined> {
  const { rows } = await sql<{ seed: Uint8Array }>`select seed from cluster_secrets where name = 'object-urls'`.execute(db);
  return rows[0] && new Uint8Array(rows[0].seed);
}
