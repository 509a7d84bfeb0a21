import type { MikroORM } from '@mikro-orm/postgresql';
import { sql } from 'kysely';

import type { GgufHeader } from '#actors/contract/gguf/gguf-header.ts';

import { StoredModel } from '../entities/serving.ts';
import type { StoredModelRow } from '../store.ts';
import type { Database } from './transaction.ts';

/** The row that comes first stays; whoever comes later learns whether it is about the same file. */
export async function storeModel(db: Database, m: StoredModelRow): Promise<boolean> {
  const { rows } = await sql`
    insert into stored_models (name, sha256, size, chunks, header, source, created_at)
    values (${m.name}, ${m.sha256}, ${m.size}, ${m.chunks}, ${JSON.stringify(m.header)}::jsonb, ${m.source}, ${m.createdAt})
    on conflict (name) do update set source = excluded.source where stored_models.sha256 = excluded.sha256
    returning name
  `.execute(db);
  return rows.length === 1;
}

export async function listStoredModels(orm: MikroORM): Promise<readonly StoredModelRow[]> {
  const rows = await orm.em.fork().find(StoredModel, {}, { orderBy: { name: 'asc' } });
  return rows.map(rowOf);
}

export async function removeStoredModel(orm: MikroORM, name: string): Promise<StoredModelRow | null> {
  const em = orm.em.fork();
  const found = await em.findOne(StoredModel, { name });
  if (found === null) return null;
  const row = rowOf(found);
  return (await em.nativeDelete(StoredModel, { name })) === 1 ? row : null;
}

function rowOf({ name, sha256, size, chunks, header, source, createdAt }: Record<keyof StoredModelRow, unknown>): StoredModelRow {
  return { name, sha256, size, chunks, header: header as GgufHeader, source, createdAt } as StoredModelRow;
}
