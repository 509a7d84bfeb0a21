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
  indexes: [{ name: 'usage_of_tenant', properties: ['tenant', 'at'] }],
});
