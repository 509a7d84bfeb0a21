import { defineEntity, p } from '@mikro-orm/core';

import { AttemptState, JobState, ShardState } from '#actors/contract/job-states.ts';
import type { VoteBatch } from '#actors/contract/vote-batch.ts';
import type { JobSpec } from '#actors/contract/job-spec.ts';

/**
 * Jobs and what hangs below them. No foreign keys between the big tables: a job expands to a million shards in one
 * statement, and a check per row would cost more than the rows. The verbs are the only writers and lock what they count.
 */

/** Bytes of the grid, and when somebody last wanted them. */
export const StoredObject = defineEntity({
  name: 'StoredObject',
  tableName: 'objects',
  properties: { sha256: p.text().primary(), size: p.bigint('number'), recordedAt: p.bigint('number') },
});

/** The one row about deleting objects that nobody wants: when it is due, and who is at it until when. */
export const Sweep = defineEntity({
  name: 'Sweep',
  tableName: 'sweeps',
  properties: {
    id: p.smallint().primary().autoincrement(false),
    dueAt: p.bigint('number'),
    holder: p.text().nullable(),
    heldUntil: p.bigint('number'),
  },
  checks: [{ name: 'sweeps_id_check', expression: 'id = 1' }],
});

/** Where an attempt of a shard stood: the newest of its device. */
export const Checkpoint = defineEntity({
  name: 'Checkpoint',
  tableName: 'checkpoints',
  properties: {
    jobId: p.uuid().primary(),
    shardIndex: p.integer().primary(),
    device: p.text().primary(),
    epoch: p.bigint('number'),
    seq: p.bigint('number'),
    sha256: p.text(),
    size: p.bigint('number'),
    steps: p.bigint('number'),
    at: p.bigint('number'),
  },
});

export const Job = defineEntity({
  name: 'Job',
  tableName: 'jobs',
  properties: {
    id: p.uuid().primary(),
    /** `partitionOf(id)`, kept for indexes and people. */
    partition: p.smallint(),
    tenant: p.text(),
    submittedBy: p.text(),
    spec: p.json<JobSpec>().columnType('json'),
    /** From the spec, for claims. */
    priority: p.smallint(),
    state: p.enum(JobState.options),
    reason: p.text().nullable(),
    /** Under which devices earn credit with this job; null when it counts votes. */
    app: p.text().nullable(),
    /** Epoch under which its actors last came to life. */
    epoch: p.bigint('number'),
    submittedAt: p.bigint('number'),
    finishedAt: p.bigint('number').nullable(),
  },
  indexes: [
    { name: 'jobs_open', properties: ['partition'], where: "state in ('queued', 'running', 'paused', 'sealing')" },
    { name: 'jobs_recent', properties: ['submittedAt'] },
    { name: 'jobs_of_tenant', properties: ['tenant', 'submittedAt'] },
  ],
});

export const JobShard = defineEntity({
  name: 'JobShard',
  tableName: 'job_shards',
  properties: {
    id: p.bigint('number').primary().generated('identity'),
    job: p.uuid().fieldName('job_id'),
    index: p.integer().fieldName('shard_index'),
    state: p.enum(ShardState.options),
    wanted: p.smallint(),
    failures: p.integer(),
    outputSha256: p.text().nullable(),
    outputSize: p.bigint('number').nullable(),
    /** Only a trusted device may run it. */
    coreOnly: p.boolean().default(false),
    /** How far it was believed, and what decided, when its job was sealed. */
    belief: p.double().nullable(),
    decidedBy: p.enum(['quorum', 'belief', 'core']).nullable(),
    /** It is not leased before: an attempt of it failed. */
    retryAt: p.bigint('number').nullable(),
  },
  indexes: [
    /** What claims read: job by job, because a paused or foreign job must not cost them anything. */
    { name: 'job_shards_claim', properties: ['job', 'id'], where: "wanted > 0 and state in ('pending', 'leased', 'voting')" },
  ],
  uniques: [{ name: 'job_shards_of_job', properties: ['job', 'index'] }],
  checks: [
    { name: 'job_shards_wanted_check', expression: 'wanted >= 0' },
    { name: 'job_shards_output_check', expression: '(output_sha256 is null) = (output_size is null)' },
  ],
});

/** One lease of one shard to one device. The primary key is the fence that every message about it carries. */
export const ShardAttempt = defineEntity({
  name: 'ShardAttempt',
  tableName: 'shard_attempts',
  properties: {
    epoch: p.bigint('number').primary(),
    /** From the sequence `attempt_fence`: never given twice, in no epoch. */
    seq: p.bigint('number').primary(),
    job: p.uuid().fieldName('job_id'),
    shard: p.bigint('number').fieldName('shard_id'),
    index: p.integer().fieldName('shard_index'),
    device: p.text(),
    state: p.enum(AttemptState.options),
    leasedAt: p.bigint('number'),
    endedAt: p.bigint('number').nullable(),
    reason: p.text().nullable(),
  },
  indexes: [
    { name: 'shard_attempts_of_shard', properties: ['shard'] },
    { name: 'shard_attempts_of_device', properties: ['device'], where: "state in ('leased', 'suspect', 'expired')" },
  ],
  /** Two live attempts of one device would be two votes of one voter. */
  uniques: [{ name: 'shard_attempts_live', properties: ['shard', 'device'], where: "state in ('leased', 'suspect')" }],
});

/** Votes: those that count (`refusal` null) and those that were refused, with the reason. Append-only. */
export const ShardResult = defineEntity({
  name: 'ShardResult',
  tableName: 'shard_results',
  properties: {
    id: p.bigint('number').primary().generated('identity'),
    epoch: p.bigint('number'),
    seq: p.bigint('number'),
    job: p.uuid().fieldName('job_id'),
    shard: p.bigint('number').fieldName('shard_id'),
    /** As the vote claims; a refused one may claim anything, so it is wider than a shard's own. */
    index: p.bigint('number').fieldName('shard_index'),
    device: p.text(),
    sha256: p.text(),
    size: p.bigint('number'),
    bytes: p.blob().nullable(),
    signature: p.text(),
    batch: p.json<VoteBatch>().columnType('json').nullable(),
    refusal: p.text().nullable(),
    at: p.bigint('number'),
  },
  indexes: [
    { name: 'shard_results_of_job', properties: ['job', 'index'] },
    /** Outputs that are objects; small ones travel in their votes. */
    { name: 'shard_results_objects', properties: ['sha256'], where: 'bytes is null and refusal is null' },
  ],
  uniques: [
    { name: 'shard_results_fence', properties: ['epoch', 'seq'], where: 'refusal is null' },
    { name: 'shard_results_voter', properties: ['shard', 'device'], where: 'refusal is null' },
    /** The same refusal repeated, after a commit of unknown outcome, is one row. */
    { name: 'shard_results_refused', properties: ['epoch', 'seq', 'signature', 'at'], where: 'refusal is not null' },
  ],
});

/** The signed list of a finished job's results. `body` is text: the signature covers these very bytes. */
export const Manifest = defineEntity({
  name: 'Manifest',
  tableName: 'manifests',
  properties: {
    job: p.uuid().fieldName('job_id').primary(),
    body: p.text(),
    signature: p.text(),
    sealedAt: p.bigint('number'),
  },
});

/** Every manifest, in the order in which jobs were sealed: the leaves of a Merkle tree that only grows. */
export const ManifestLogEntry = defineEntity({
  name: 'ManifestLogEntry',
  tableName: 'manifest_log',
  properties: {
    position: p.bigint('number').primary().autoincrement(false),
    job: p.uuid().fieldName('job_id').unique('manifest_log_job'),
    leaf: p.blob(),
  },
});
