import { defineEntity, p } from '@mikro-orm/core';

/** Whose jobs and keys: a name that keys and jobs share. */
export const Tenant = defineEntity({
  name: 'Tenant',
  tableName: 'tenants',
  properties: {
    name: p.text().primary(),
    createdAt: p.bigint('number'),
    /** Its part of a full grid beside the others. */
    weight: p.double().default(1),
    /** Attempts and GPUs at once; null: no limit. */
    maxRunning: p.integer().nullable(),
    maxGpus: p.integer().nullable(),
  },
});

/** The key itself is never stored: only its hash, and who it lets in as what. */
export const ApiKey = defineEntity({
  name: 'ApiKey',
  tableName: 'api_keys',
  properties: {
    id: p.text().primary(),
    hash: p.text().unique('api_keys_hash'),
    tenant: p.text(),
    name: p.text(),
    role: p.enum(['admin', 'submitter']),
    createdAt: p.bigint('number'),
    revokedAt: p.bigint('number').nullable(),
  },
});

/** Lets `usesLeft` more machines in until it expires. Known by its hash only. */
export const EnrolmentToken = defineEntity({
  name: 'EnrolmentToken',
  tableName: 'enrolment_tokens',
  properties: {
    hash: p.text().primary(),
    name: p.text(),
    usesLeft: p.integer(),
    createdAt: p.bigint('number'),
    expiresAt: p.bigint('number'),
    /** Principal of the devices that come with it. */
    principal: p.text(),
    trusted: p.boolean(),
  },
  checks: [{ name: 'enrolment_tokens_uses_left_check', expression: 'uses_left >= 0' }],
});
