import { defineEntity, p } from '@mikro-orm/core';

/** Model files that devices offered. One name may stand for several files. */
export const Model = defineEntity({
  name: 'Model',
  tableName: 'models',
  properties: {
    name: p.text().primary(),
    sha256: p.text().primary(),
    size: p.bigint('number'),
    contextSize: p.integer(),
    firstSeenAt: p.bigint('number').nullable(),
  },
});

/** Model files that the grid keeps and can bring to devices. */
export const StoredModel = defineEntity({
  name: 'StoredModel',
  tableName: 'stored_models',
  properties: {
    name: p.text().primary(),
    sha256: p.text(),
    size: p.bigint('number'),
    /** The object that holds the SHA-256 of each chunk. */
    chunks: p.text(),
    header: p.json(),
    source: p.text(),
    createdAt: p.bigint('number'),
  },
});

/** What a generation used, once for each generation. */
export const Usage = defineEntity({
  name: 'Usage',
  tableName: 'usage',
  properties: {
    id: p.text().primary(),
    tenant: p.text(),
    apiKey: p.text(),
    model: p.text(),
    device: p.text().nullable(),
    promptTokens: p.integer(),
    completionTokens: p.integer(),
    outcome: p.text(),
    at: p.bigint('number'),
  },
  indexes: [
    { name: 'usage_of_tenant', properties: ['tenant', 'at'] },
    { name: 'usage_of_key', properties: ['apiKey', 'at'] },
  ],
});

/** Answers that devices signed. Statement and finding are JSON: they are read by people who have a receipt, and never searched. */
export const Answer = defineEntity({
  name: 'Answer',
  tableName: 'answers',
  properties: {
    id: p.text().primary(),
    tenant: p.text(),
    modelName: p.text(),
    device: p.text(),
    publicKey: p.text(),
    statement: p.text(),
    signature: p.text(),
    at: p.bigint('number'),
    finding: p.text().nullable(),
  },
});

/** What a key may use at most; null is no limit. A key without a row has none. */
export const ApiKeyLimits = defineEntity({
  name: 'ApiKeyLimits',
  tableName: 'api_key_limits',
  properties: {
    key: p.text().primary(),
    requestsPerMinute: p.integer().nullable(),
    tokensPerMinute: p.integer().nullable(),
    monthlyTokens: p.bigint('number').nullable(),
  },
});

/** Files of the OpenAI door. Their bytes are objects. */
export const ApiFile = defineEntity({
  name: 'ApiFile',
  tableName: 'api_files',
  properties: {
    id: p.text().primary(),
    tenant: p.text(),
    purpose: p.text(),
    filename: p.text(),
    sha256: p.text(),
    size: p.bigint('number'),
    createdAt: p.bigint('number'),
  },
  indexes: [{ name: 'api_files_of_tenant', properties: ['tenant', 'createdAt'] }],
});

/** Batches, as their owner sees them (`body` is JSON), and whether work on them goes on. */
export const Batch = defineEntity({
  name: 'Batch',
  tableName: 'batches',
  properties: {
    id: p.text().primary(),
    tenant: p.text(),
    apiKey: p.text(),
    open: p.boolean(),
    body: p.text(),
    createdAt: p.bigint('number'),
  },
  indexes: [
    { name: 'batches_open', properties: ['createdAt'], where: 'open' },
    { name: 'batches_of_tenant', properties: ['tenant', 'createdAt'] },
  ],
});

/** The answer to a line of a batch, once. */
export const BatchResult = defineEntity({
  name: 'BatchResult',
  tableName: 'batch_results',
  properties: { batch: p.text().primary(), line: p.integer().primary(), failed: p.boolean(), body: p.text() },
});
