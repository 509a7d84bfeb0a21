import { defineEntity, p } from '@mikro-orm/core';

/** Processes that drive the grid, for people who ask who took which partition when. */
export const Coordinator = defineEntity({
  name: 'Coordinator',
  tableName: 'coordinators',
  properties: {
    id: p.text().primary(),
    /** Database clock, ms since 1970. */
    tookPartitionsAt: p.bigint('number'),
  },
});

/** Ownership of 1/256 of all jobs. The row is what every fenced write locks; only the epoch fences. */
export const Partition = defineEntity({
  name: 'Partition',
  tableName: 'partitions',
  properties: {
    id: p.smallint().primary().autoincrement(false),
    epoch: p.bigint('number').defaultRaw('0'),
    coordinator: p.text().nullable(),
  },
  checks: [{ name: 'partitions_id_check', expression: 'id >= 0 and id <= 255' }],
});

/** Seeds that all coordinators of this grid share. */
export const ClusterSecret = defineEntity({
  name: 'ClusterSecret',
  tableName: 'cluster_secrets',
  properties: { name: p.text().primary(), seed: p.blob() },
});

/** What happened, for people: append-only. */
export const Event = defineEntity({
  name: 'Event',
  tableName: 'events',
  properties: {
    id: p.bigint('number').primary().generated('identity'),
    at: p.bigint('number'),
    subject: p.text(),
    kind: p.text(),
    text: p.text(),
  },
  indexes: [{ name: 'events_subject', properties: ['subject', 'id'] }],
});
