import { sql } from 'kysely';

import type { ObjectRef } from '#actors/contract/primitives.ts';
import type { Database } from './transaction.ts';

/** The hash is the object: recording it again changes nothing. */
export async function recordObject(db: Database, object: ObjectRef, at: number): Promise<void> {
  await sql`
    insert into objects (sha256, size, recorded_at) values (${object.sha256}, ${object.size}, ${at}) on conflict do nothing
  `.execute(db);
}

/** Sizes of those that are there. */
export async function hasObjects(db: Database, sha256: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ sha256: string; size: number }>`
    select sha256, size from objects where sha256 = any(${[...sha256]}::text[])
  `.execute(db);
  return new Map(rows.map((row) => [row.sha256, row.size]));
}
