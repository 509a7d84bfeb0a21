import { storableText } from '../storable-text.ts';
import type { Store, UsageSum } from '../store.ts';
import type { Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

type Serving = Pick<
  Store,
  | 'recordUsage' | 'usageSums' | 'modelsFirstSeen'
  | 'setKeyLimits' | 'keyLimits' | 'saveFile' | 'findFile' | 'listFiles' | 'deleteFile'
  | 'saveBatch' | 'findBatch' | 'listBatches' | 'openBatches' | 'recordBatchResults' | 'batchResults'
>; // prettier-ignore

const UNLIMITED = { requestsPerMinute: null, tokensPerMinute: null, monthlyTokens: null };

const newestFirst = (a: { id: string; createdAt: number }, b: { id: string; createdAt: number }): number =>
  b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1);

function sums(tables: Tables, { tenant, apiKey, from, to }: Parameters<Store['usageSums']>[0]): UsageSum[] {
  const groups = new Map<string, UsageSum>();
  for (const u of tables.usage.values()) {
    if (u.at < from || u.at >= to || (tenant !== null && u.tenant !== tenant) || (apiKey !== null && u.apiKey !== apiKey)) continue;
    const name = [u.tenant, u.apiKey, u.model].join('\0');
    const { requests = 0, promptTokens = 0, completionTokens = 0 } = groups.get(name) ?? {};
    groups.set(name, {
      tenant: u.tenant,
      apiKey: u.apiKey,
      model: u.model,
      requests: requests + 1,
      promptTokens: promptTokens + u.promptTokens,
      completionTokens: completionTokens + u.completionTokens,
    });
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => sum);
}

/** Each verb is one statement; rows are locked where PostgreSQL locks them. */
export function servingVerbs(connection: Connection, tables: Tables): Serving {
  const write = (verb: string, id: string, change: (tx: Parameters<Parameters<Connection['transaction']>[1]>[0]) => void): Promise<void> =>
    connection.transaction(verb, async (tx) => {
      await tx.statement();
      await tx.lock('serving', [id], 'update');
      change(tx);
    });
  return {
    recordUsage: (usage) =>
      connection.transaction('recordUsage', async (tx) => {
        await tx.statement();
        const rows = [...usage].sort((a, b) => (a.id < b.id ? -1 : 1));
        for (const { id } of rows) await tx.lock('usage', [id], 'update');
        for (const row of rows) if (!tables.usage.has(row.id)) tx.put(tables.usage, row.id, { ...row });
      }),
    usageSums: (query) => connection.read('usageSums', () => sums(tables, query)),
    modelsFirstSeen: (models) =>
      connection.read('modelsFirstSeen', () => models.map(({ name, sha256 }) => tables.modelsFirstSeen.get(`${sha256} ${name}`) ?? 0)),

    setKeyLimits: (key, limits) => write('setKeyLimits', `limits ${key}`, (tx) => tx.put(tables.keyLimits, key, { ...limits })),
    keyLimits: (key) => connection.read('keyLimits', () => ({ ...(tables.keyLimits.get(key) ?? UNLIMITED) })),

    saveFile: (file) =>
      write('saveFile', file.id, (tx) => {
        if ((tables.files.get(file.id) ?? null) !== null) throw new Error(`File ${file.id} is there already.`);
        tx.put(tables.files, file.id, { ...file, filename: storableText(file.filename) });
      }),
    findFile: (id) => connection.read('findFile', () => tables.files.get(id) ?? null),
    listFiles: (tenant) =>
      connection.read('listFiles', () =>
        [...tables.files.values()]
          .filter((file) => file !== null)
          .filter((file) => file.tenant === tenant)
          .sort(newestFirst),
      ),
    deleteFile: (id) =>
      connection.transaction('deleteFile', async (tx) => {
        await tx.statement();
        await tx.lock('serving', [id], 'update');
        if ((tables.files.get(id) ?? null) === null) return false;
        tx.put(tables.files, id, null);
        return true;
      }),

    saveBatch: (batch) =>
      write('saveBatch', batch.id, (tx) => tx.put(tables.batches, batch.id, { ...batch, body: storableText(batch.body) })),
    findBatch: (id) => connection.read('findBatch', () => tables.batches.get(id) ?? null),
    listBatches: (tenant, limit) =>
      connection.read('listBatches', () =>
        [...tables.batches.values()]
          .filter((batch) => batch.tenant === tenant)
          .sort(newestFirst)
          .slice(0, limit),
      ),
    openBatches: () =>
      connection.read('openBatches', () =>
        [...tables.batches.values()].filter((batch) => batch.open).sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)),
      ),
    recordBatchResults: (batch, results) =>
      write('recordBatchResults', `results ${batch}`, (tx) => {
        for (const result of results) {
          const name = `${batch} ${result.line}`;
          if (!tables.batchResults.has(name)) tx.put(tables.batchResults, name, { ...result, body: storableText(result.body) });
        }
      }),
    batchResults: (batch) =>
      connection.read('batchResults', () =>
        [...tables.batchResults]
          .filter(([name]) => name.startsWith(`${batch} `))
          .map(([, { line, failed, body }]) => ({ line, failed, body }))
          .sort((a, b) => a.line - b.line),
      ),
  };
}
