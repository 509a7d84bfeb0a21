import type { MikroORM } from '@mikro-orm/postgresql';

import { ApiKey, Tenant } from '../entities/access.ts';
import { storableText } from '../storable-text.ts';
import type { ApiKeyRow } from '../store.ts';

/** Keys are administration: MikroORM's entities do here, one short unit of work for each verb. */

export async function createApiKey(orm: MikroORM, row: ApiKeyRow, hash: string): Promise<void> {
  await orm.em.fork().transactional(async (em) => {
    await em.upsert(Tenant, { name: row.tenant, createdAt: row.createdAt }, { onConflictAction: 'ignore' });
    await em.insert(ApiKey, { ...row, name: storableText(row.name), hash });
  });
}

/** Null for a revoked key too: it opens nothing. */
export async function findApiKey(orm: MikroORM, hash: string): Promise<ApiKeyRow | null> {
  const key = await orm.em.fork().findOne(ApiKey, { hash, revokedAt: null });
  return key && apiKeyRow(key);
}

export async function listApiKeys(orm: MikroORM): Promise<readonly ApiKeyRow[]> {
  const keys = await orm.em.fork().findAll(ApiKey, { orderBy: { createdAt: 'asc', id: 'asc' } });
  return keys.map(apiKeyRow);
}

export async function revokeApiKey(orm: MikroORM, id: string, at: number): Promise<boolean> {
  return (await orm.em.fork().nativeUpdate(ApiKey, { id, revokedAt: null }, { revokedAt: at })) === 1;
}

/** Leaves out the hash. */
function apiKeyRow(key: Omit<ApiKeyRow, 'revokedAt'> & { revokedAt?: number | null | undefined }): ApiKeyRow {
  const { id, tenant, name, role, createdAt, revokedAt = null } = key;
  return { id, tenant, name, role, createdAt, revokedAt };
}
