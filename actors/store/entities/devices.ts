import { defineEntity, p } from '@mikro-orm/core';

import type { Capabilities } from '#actors/contract/agent-link.ts';
import { DeviceState } from '#actors/contract/job-states.ts';

/** Keys that are no device's key any more. */
export const FormerKeyEntity = defineEntity({
  name: 'FormerKey',
  tableName: 'former_keys',
  properties: {
    id: p.bigint('number').primary().generated('identity'),
    device: p.text(),
    publicKey: p.text().unique('former_keys_public_key'),
    reason: p.enum(['rotated', 'revoked']),
    /** Jobs that were sealed by then. */
    untilPosition: p.bigint('number'),
    at: p.bigint('number'),
  },
});

/**
 * Enrolled machines. Beats rewrite `lastSeenAt` all the time: no index on it and a low fillfactor keep those updates in
 * their page (HOT).
 */
export const Device = defineEntity({
  name: 'Device',
  tableName: 'devices',
  properties: {
    id: p.text().primary(),
    name: p.text(),
    publicKey: p.text().unique('devices_public_key'),
    state: p.enum(DeviceState.options),
    stateAt: p.bigint('number'),
    /** Rises with every session: an older session of the same machine writes nothing. */
    sessionEpoch: p.bigint('number').defaultRaw('0'),
    /** `json`, not `jsonb`: it comes from outside, and jsonb refuses some strings that are valid JSON. */
    capabilities: p.json<Capabilities>().columnType('json').nullable(),
    lastSeenAt: p.bigint('number').nullable(),
    enrolledAt: p.bigint('number'),
    /** Hash of the token that let it in. */
    enrolledWith: p.text(),
    /** Who vouches for it: devices of one principal are one voice. */
    principal: p.text(),
    /** Its results are taken as true. */
    trusted: p.boolean(),
  },
});
