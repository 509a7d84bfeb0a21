import { randomBytes } from 'node:crypto';

import type { MikroORM } from '@mikro-orm/postgresql';

import type { Store } from '../store.ts';
import { activateJob } from './activate-job.ts';
import { createApiKey, findApiKey, listApiKeys, revokeApiKey } from './api-keys.ts';
import { beat } from './beat.ts';
import { checkpointVerbs } from './checkpoints.ts';
import { claim } from './claim.ts';
import { clusterSecret } from './cluster-secret.ts';
import { commit } from './commit.ts';
import { createEnrolmentToken } from './create-enrolment-token.ts';
import { createJob } from './create-job.ts';
import { formerKeys, revokeDevice, rotateKey } from './keys.ts';
import { findDevice, listDevices, setDeviceState } from './devices.ts';
import { enrol } from './enrol.ts';
import { findManifest } from './find-manifest.ts';
import { logPosition, manifestLog } from './manifest-log.ts';
import { moveJob } from './move-job.ts';
import { historyOf } from './history.ts';
import { objectVerbs } from './objects.ts';
import { noteDecided } from './note-decided.ts';
import { openSession } from './open-session.ts';
import { findJob, listJobs, openJobs } from './read-jobs.ts';
import { attemptsOf, shardsOf, shardStates, votesOf } from './read-shards.ts';
import { listEvents, recordEvents, recordModels } from './records.ts';
import { resolveSpec } from './resolve-spec.ts';
import { seal } from './seal.ts';
import { listStoredModels, removeStoredModel, storeModel } from './stored-models.ts';
import { servingVerbs } from './serving.ts';
import { findAnswer, recordAnswers, recordFinding } from './answers.ts';
import { auditsOf, pardon, standings } from './standings.ts';
import { takePartitions } from './take-partitions.ts';
import { tallyJobs } from './tally-jobs.ts';
import type { Database } from './transaction.ts';
import { tenantVerbs } from './tenant-policies.ts';
import { unblockMerge } from './unblock-merge.ts';
import { modelsFirstSeen, recordUsage, usageSums } from './usage.ts';

export interface PostgresStoreOptions {
  /** Makes the cluster secret, once in the grid's life; default: the operating system's randomness. */
  readonly randomBytes?: (length: number) => Uint8Array;
}

/**
 * The grid's memory in PostgreSQL, through an `orm` that knows `entities` and has applied `migrations`.
 *
 * Every verb throws the driver's error when the database is away or refuses; nothing was written then, or, when the
 * connection was lost during the commit, everything: all verbs may be repeated.
 */
export function createPostgresStore(orm: MikroORM, { randomBytes: random = randomBytes }: PostgresStoreOptions = {}): Store {
  const db: Database = orm.em.fork().getKysely<unknown>();
  return {
    takePartitions: (coordinator) => takePartitions(db, coordinator),
    clusterSecret: () => clusterSecret(db, () => random(32)),

    createApiKey: (row, hash) => createApiKey(orm, row, hash),
    findApiKey: (hash) => findApiKey(orm, hash),
    listApiKeys: () => listApiKeys(orm),
    revokeApiKey: (id, at) => revokeApiKey(orm, id, at),

    createEnrolmentToken: (token) => createEnrolmentToken(orm, token),
    enrol: (tokenHash, device, at) => enrol(db, tokenHash, device, at),
    findDevice: (id) => findDevice(db, id),
    listDevices: () => listDevices(db),
    openSession: (device, capabilities, at) => openSession(db, device, capabilities, at),
    beat: (sessions, at) => beat(db, sessions, at),
    setDeviceState: (device, sessionEpoch, state, at) =>
      state === 'revoked' && sessionEpoch === null ? revokeDevice(db, device, at) : setDeviceState(db, { device, sessionEpoch, state, at }),
    rotateKey: (device, { from, to }, at) => rotateKey(db, { device, from, to, at }),
    formerKeys: () => formerKeys(db),

    createJob: (job, epoch) => createJob(db, job, epoch),
    findJob: (id) => findJob(db, id),
    listJobs: (tenant, limit) => listJobs(db, tenant, limit),
    tallyJobs: (ids) => tallyJobs(db, ids),
    openJobs: (partitions) => openJobs(db, partitions),
    activateJob: (id, epoch) => activateJob(db, id, epoch),
    moveJob: (id, epoch, from, to, reason, at) => moveJob(db, { id, epoch, from, to, reason, at }),
    resolveSpec: (id, epoch, spec) => resolveSpec(db, id, epoch, spec),
    unblockMerge: (id, epoch) => unblockMerge(db, id, epoch),
    seal: (manifest, epoch) => seal(db, manifest, epoch),
    noteDecided: (job, epoch, decided) => noteDecided(db, job, epoch, decided),
    manifestLog: (size) => manifestLog(db, size),
    logPosition: (job) => logPosition(db, job),
    findManifest: (job) => findManifest(db, job),

    claim: (request) => claim(db, request),
    commit: (changes) => commit(db, changes),

    votesOf: (job, range) => votesOf(db, job, range),
    attemptsOf: (job, index) => attemptsOf(db, job, index),
    historyOf: (job, query) => historyOf(db, job, query),
    shardsOf: (job, range) => shardsOf(db, job, range),
    shardStates: (job) => shardStates(db, job),

    standings: (of) => standings(db, of),
    pardon: (device, app, at) => pardon(db, { device, app, at }),
    auditsOf: (job) => auditsOf(db, job),

    ...objectVerbs(db),
    ...checkpointVerbs(db),

    recordModels: (models, at) => recordModels(db, models, at),
    modelsFirstSeen: (models) => modelsFirstSeen(db, models),
    recordAnswers: (answers) => recordAnswers(db, answers),
    findAnswer: (id) => findAnswer(db, id),
    recordFinding: (finding) => recordFinding(db, finding),
    recordUsage: (usage) => recordUsage(db, usage),
    usageSums: (query) => usageSums(db, query),
    ...servingVerbs(orm),
    ...tenantVerbs(db),
    storeModel: (model) => storeModel(db, model),
    listStoredModels: () => listStoredModels(orm),
    removeStoredModel: (name) => removeStoredModel(orm, name),
    recordEvents: (events) => recordEvents(db, events),
    listEvents: (subject, limit) => listEvents(db, subject, limit),
  };
}
