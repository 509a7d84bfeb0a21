import type { MikroORM } from '@mikro-orm/postgresql';

import { ApiFile, ApiKeyLimits, Batch, BatchResult } from '../entities/serving.ts';
import { storableText } from '../storable-text.ts';
import type { BatchRow, FileRow, Store } from '../store.ts';

type Serving = Pick<
  Store,
  | 'setKeyLimits' | 'keyLimits' | 'saveFile' | 'findFile' | 'listFiles' | 'deleteFile'
  | 'saveBatch' | 'findBatch' | 'listBatches' | 'openBatches' | 'recordBatchResults' | 'batchResults'
>; // prettier-ignore

function fileRow({ id, tenant, purpose, filename, sha256, size, createdAt }: FileRow): FileRow {
  return { id, tenant, purpose, filename, sha256, size, createdAt };
}

function batchRow({ id, tenant, apiKey, open, body, createdAt }: BatchRow): BatchRow {
  return { id, tenant, apiKey, open, body, createdAt };
}

/** Files, batches and limits are administration: MikroORM's entities, one short unit of work for each verb. */
export function servingVerbs(orm: MikroORM): Serving {
  return {
    async setKeyLimits(key, limits) {
      await orm.em.fork().upsert(ApiKeyLimits, { key, ...limits });
    },
    async keyLimits(key) {
      const row = await orm.em.fork().findOne(ApiKeyLimits, { key });
      const { requestsPerMinute = null, tokensPerMinute = null, monthlyTokens = null } = row ?? {};
      return { requestsPerMinute, tokensPerMinute, monthlyTokens };
    },
    async saveFile(file) {
      await orm.em.fork().insert(ApiFile, { ...file, filename: storableText(file.filename) });
    },
    async findFile(id) {
      const row = await orm.em.fork().findOne(ApiFile, { id });
      return row && fileRow(row);
    },
    async listFiles(tenant) {
      return (await orm.em.fork().find(ApiFile, { tenant }, { orderBy: { createdAt: 'desc', id: 'desc' } })).map(fileRow);
    },
    async deleteFile(id) {
      return (await orm.em.fork().nativeDelete(ApiFile, { id })) === 1;
    },
    async saveBatch(batch) {
      await orm.em.fork().upsert(Batch, { ...batch, body: storableText(batch.body) });
    },
    async findBatch(id) {
      const row = await orm.em.fork().findOne(Batch, { id });
      return row && batchRow(row);
    },
    async listBatches(tenant, limit) {
      return (await orm.em.fork().find(Batch, { tenant }, { orderBy: { createdAt: 'desc', id: 'desc' }, limit })).map(batchRow);
    },
    async openBatches() {
      return (await orm.em.fork().find(Batch, { open: true }, { orderBy: { createdAt: 'asc', id: 'asc' } })).map(batchRow);
    },
    async recordBatchResults(batch, results) {
      if (results.length === 0) return;
      const rows = results.map((result) => ({ batch, ...result, body: storableText(result.body) }));
      await orm.em.fork().upsertMany(BatchResult, rows, { onConflictAction: 'ignore' });
    },
    async batchResults(batch) {
      const rows = await orm.em.fork().find(BatchResult, { batch }, { orderBy: { line: 'asc' } });
      return rows.map(({ line, failed, body }) => ({ line, failed, body }));
    },
  };
}
