import { defineEntity, p } from '@mikro-orm/core';

/** What a device has earned with an app; the rules stand in standing-rules.ts. */
export const DeviceReputation = defineEntity({
  name: 'DeviceReputation',
  tableName: 'device_reputation',
  properties: {
    app: p.text().primary(),
    device: p.text().primary(),
    a: p.double(),
    b: p.double(),
    results: p.bigint('number'),
    strikes: p.integer(),
    quarantine: p.text().nullable(),
    updatedAt: p.bigint('number'),
  },
  indexes: [{ name: 'device_reputation_of_device', properties: ['device'] }],
});

/** Shards that a trusted device checks. */
export const Audit = defineEntity({
  name: 'Audit',
  tableName: 'audits',
  properties: {
    id: p.bigint('number').primary().generated('identity'),
    job: p.uuid().fieldName('job_id'),
    shard: p.bigint('number').fieldName('shard_id'),
    index: p.integer().fieldName('shard_index'),
    reason: p.enum(['audit', 'dispute']),
    openedAt: p.bigint('number'),
    /** Devices whose votes were found wrong; null while it is open. */
    wrong: p.json<readonly string[]>().columnType('json').nullable(),
  },
  indexes: [
    { name: 'audits_of_job', properties: ['job', 'index'] },
    { name: 'audits_open', properties: ['shard'], where: 'wrong is null' },
  ],
});
