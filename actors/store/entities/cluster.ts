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
    /** Which life of the coordinator took it. */
    incarnation: p.bigint('number').nullable(),
  },
  checks: [{ name: 'partitions_id_check', expression: 'id >= 0 and id <= 255' }],
});

/** One lease per coordinator process. runtime/cluster reads and writes it. */
export const ClusterNode = defineEntity({
  name: 'ClusterNode',
  tableName: 'cluster_nodes',
  properties: {
    id: p.text().primary(),
    incarnation: p.bigint('number'),
    address: p.text(),
    host: p.text(),
    publicKey: p.text(),
    weight: p.double(),
    status: p.text(),
    leaseUntil: p.datetime(),
  },
  checks: [{ name: 'cluster_nodes_status_check', expression: "status in ('up', 'draining', 'gone')" }],
});

/** Entities that keep nothing but a state: claimed by epoch, written by version. */
export const ClusterEntity = defineEntity({
  name: 'ClusterEntity',
  tableName: 'cluster_entities',
  properties: {
    kind: p.text().primary(),
    id: p.text().primary(),
    partition: p.smallint(),
    epoch: p.bigint('number'),
    version: p.bigint('number'),
    state: p.blob().nullable(),
  },
});

/** Timers that outlive every process. */
export const ClusterTimer = defineEntity({
  name: 'ClusterTimer',
  tableName: 'cluster_timers',
  properties: {
    kind: p.text().primary(),
    id: p.text().primary(),
    timer: p.text().primary(),
    partition: p.smallint(),
    version: p.bigint('number'),
    dueAt: p.datetime(),
    payload: p.blob(),
  },
  indexes: [{ name: 'cluster_timers_due', properties: ['partition', 'dueAt'] }],
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
