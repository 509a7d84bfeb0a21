import { mapShardCount, quorumOf, shardCount } from '#actors/contract/job-spec.ts';
import { logLeaf } from '#actors/contract/log-leaf.ts';
import { SHARD_STATES, type JobState } from '#actors/contract/job-states.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { emptyTally } from '../job-tally.ts';
import { partitionOf } from '../partition.ts';
import { OPEN_SHARD_STATES, VOTING_ATTEMPT_STATES, type ShardUnderChange } from '../shard-rules.ts';
import { storableText } from '../storable-text.ts';
import type { ActiveJob, JobRow, NewJob, ShardRange, ShardRow, Store } from '../store.ts';
import { RolledBack } from './row-locks.ts';
import { attemptsOfShard, checkEpoch, holdEpochs, type MemoryAttempt, type MemoryJob, type Tables } from './tables.ts';
import type { Connection, Transaction } from './transaction.ts';

type Jobs = Pick<
  Store,
  | 'createJob'
  | 'findJob'
  | 'listJobs'
  | 'tallyJobs'
  | 'openJobs'
  | 'activateJob'
  | 'moveJob'
  | 'unblockMerge'
  | 'seal'
  | 'findManifest'
  | 'manifestLog'
  | 'logPosition'
  | 'votesOf'
  | 'attemptsOf'
  | 'shardsOf'
  | 'shardStates'
  | 'resolveSpec'
  | 'noteDecided'
>;

export const FINAL: ReadonlySet<JobState> = new Set(['done', 'failed', 'cancelled']);

export function jobVerbs(connection: Connection, tables: Tables): Jobs {
  return {
    createJob: (job, epoch) =>
      connection.transaction('createJob', async (tx) => {
        await holdEpochs(tx, tables, [[partitionOf(job.id), epoch]]);
        await tx.statement();
        await tx.lock('new job', [job.id], 'update');
        const there = tables.jobs.get(job.id);
        if (there) return { created: false, job: jobRow(there) };
        return { created: true, job: jobRow(newJob(tx, tables, job)) };
      }),
    findJob: (id) =>
      connection.read('findJob', () => {
        const job = tables.jobs.get(id);
        return job ? jobRow(job) : null;
      }),
    listJobs: (tenant, limit) =>
      connection.read('listJobs', () =>
        [...tables.jobs.values()]
          .filter(({ row }) => tenant === null || row.tenant === tenant)
          .sort((a, b) => b.row.submittedAt - a.row.submittedAt || (a.row.id < b.row.id ? 1 : -1))
          .slice(0, limit)
          .map(jobRow),
      ),
    tallyJobs: (ids) =>
      connection.read(
        'tallyJobs',
        () =>
          new Map(
            ids.flatMap((id) => {
              const job = tables.jobs.get(id);
              if (!job) return [];
              const tally = emptyTally();
              for (const shard of job.shards) tally.counts[shard.state] += 1;
              tally.votes = countVotes(job);
              return [[id, tally] as const];
            }),
          ),
      ),
    openJobs: (partitions) =>
      connection.read('openJobs', () =>
        [...tables.jobs.values()]
          .filter(({ row }) => !FINAL.has(row.state) && partitions.includes(row.partition))
          .sort(bySubmission)
          .map(({ row: { id, partition } }) => ({ id, partition })),
      ),
    activateJob: (id, epoch) => connection.transaction('activateJob', (tx) => activate(tx, tables, id, epoch)),
    moveJob: (id, epoch, from, to, reason, at) =>
      connection.transaction('moveJob', async (tx) => {
        await holdEpochs(tx, tables, [[partitionOf(id), epoch]]);
        const stops = to === 'cancelled' || to === 'failed';
        if (stops) await lockShards(tx, tables, id, (shard) => isOpen(shard) && shard.state !== 'pending');
        await tx.statement();
        const job = tables.jobs.get(id);
        if (!job || !from.includes(job.row.state)) return false;
        await tx.lock('job', [id], 'no key update');
        if (!from.includes(job.row.state)) return false;
        const why = reason === null ? null : storableText(reason);
        const row = { ...job.row, state: to, reason: why, finishedAt: FINAL.has(to) ? at : null };
        tx.set<MemoryJob>(job, { row });
        if (stops) await stopShards(tx, tables, { ...job, row }, { reason: why ?? `job ${to}`, at });
        return true;
      }),
    resolveSpec: (id, epoch, spec) =>
      connection.transaction('resolveSpec', async (tx) => {
        await holdEpochs(tx, tables, [[partitionOf(id), epoch]]);
        await tx.statement();
        const job = tables.jobs.get(id);
        if (job?.row.state !== 'queued') return false;
        await tx.lock('job', [id], 'no key update');
        if (job.row.state !== 'queued') return false;
        tx.set<MemoryJob>(job, { row: { ...job.row, spec: structuredClone(spec) } });
        return true;
      }),
    unblockMerge: (id, epoch) =>
      connection.transaction('unblockMerge', async (tx) => {
        await holdEpochs(tx, tables, [[partitionOf(id), epoch]]);
        await tx.statement();
        const merge = tables.jobs.get(id)?.shards.find((shard) => shard.state === 'blocked');
        if (!merge) return false;
        await tx.lock('shard', [merge.id], 'no key update');
        if (merge.state !== 'blocked') return false;
        tx.set(merge, { state: 'pending' });
        return true;
      }),
    seal: (manifest, epoch) =>
      connection.transaction('seal', async (tx) => {
        await holdEpochs(tx, tables, [[partitionOf(manifest.job), epoch]]);
        await lockShards(tx, tables, manifest.job);
        const job = tables.jobs.get(manifest.job);
        const ready = job !== undefined && job.shards.every((shard) => shard.state === 'provisional');
        if (!ready) {
          await tx.statement();
          const sealed = tables.manifests.get(manifest.job);
          return sealed?.body === manifest.body && sealed.signature === manifest.signature;
        }
        await tx.statement();
        await tx.lock('job', [manifest.job], 'no key update');
        if (FINAL.has(job.row.state)) return false;
        tx.set<MemoryJob>(job, { row: { ...job.row, state: 'done', finishedAt: manifest.sealedAt } });
        for (const shard of job.shards) tx.set(shard, { state: 'sealed' });
        tx.put(tables.manifests, manifest.job, { ...manifest });
        await tx.lock('manifest log', ['all'], 'no key update');
        tx.append(tables.manifestLog, { job: manifest.job, leaf: logLeaf(manifest, sha256) });
        return true;
      }),
    noteDecided: (id, epoch, decided) =>
      connection.transaction('noteDecided', async (tx) => {
        await holdEpochs(tx, tables, [[partitionOf(id), epoch]]);
        await tx.statement();
        const shards = (tables.jobs.get(id)?.shards ?? []).filter(({ index, state }) => decided.has(index) && state === 'provisional');
        await tx.lock(
          'shard',
          shards.map((shard) => shard.id),
          'no key update',
        );
        for (const shard of shards) {
          const how = decided.get(shard.index) ?? null;
          if (shard.state === 'provisional') tx.set<ShardUnderChange>(shard, { decided: how === null ? undefined : { ...how } });
        }
      }),
    manifestLog: (size) =>
      connection.read('manifestLog', () => tables.manifestLog.slice(0, size ?? undefined).map(({ leaf }) => new Uint8Array(leaf))),
    logPosition: (id) =>
      connection.read('logPosition', () => {
        const position = tables.manifestLog.findIndex(({ job }) => job === id);
        return position < 0 ? null : position;
      }),
    findManifest: (job) => connection.read('findManifest', () => tables.manifests.get(job) ?? null),

    votesOf: (id, range) =>
      connection.read('votesOf', () =>
        (tables.jobs.get(id)?.votes ?? []).filter((vote) => inRange(vote.index, range)).sort((a, b) => a.index - b.index),
      ),
    attemptsOf: (id, index) =>
      connection.read('attemptsOf', () =>
        (tables.jobs.get(id)?.shards ?? [])
          .filter((shard) => index === null || shard.index === index)
          .flatMap((shard) => attemptsOfShard(tables, shard))
          .map((attempt) => ({ ...attempt })),
      ),
    shardsOf: (id, range = null) =>
      connection.read('shardsOf', () => (tables.jobs.get(id)?.shards ?? []).filter((s) => inRange(s.index, range)).map(shardRow)),
    shardStates: (id) => connection.read('shardStates', () => statesOf(tables.jobs.get(id)?.shards ?? [])),
  };
}

function inRange(index: number, range: ShardRange): boolean {
  if (range === null) return true;
  return typeof range === 'number' ? index === range : index >= range.from && index < range.to;
}

function statesOf(shards: readonly ShardUnderChange[]): Uint8Array {
  return Uint8Array.from(shards, ({ state }) => SHARD_STATES.indexOf(state));
}

/**
 * REPEATABLE READ: one snapshot, taken by the first statement, for all that is answered. A lock on a row that was changed
 * since then ends the transaction (it is run again); one that was only held by others does not make the snapshot newer.
 */
async function activate(tx: Transaction, tables: Tables, id: string, epoch: number): Promise<ActiveJob | null> {
  const partition = partitionOf(id);
  tx.epochs.set(partition, epoch);
  await tx.statement();
  const seenEpoch = tables.epochs.get(partition);
  const job = tables.jobs.get(id);
  const seenRow = job?.row;
  const snapshot = job && activeJob(tables, job);
  await tx.lock('partition', [partition], 'share');
  if (tables.epochs.get(partition) !== seenEpoch) throw new RolledBack('40001');
  checkEpoch(tables, partition, epoch);
  await tx.statement();
  if (!job || !snapshot) return null;
  await tx.lock('job', [id], 'no key update');
  if (job.row !== seenRow) throw new RolledBack('40001');
  // Another row, as PostgreSQL makes one: whoever saw the old one and wants it locked now is told.
  tx.set<MemoryJob>(job, { row: { ...job.row } });
  return snapshot;
}

function activeJob(tables: Tables, job: MemoryJob): ActiveJob {
  const open = job.shards.filter(isOpen);
  const openIds = new Set(open.map((shard) => shard.id));
  const attempts = open.flatMap((shard) => attemptsOfShard(tables, shard)).filter((a) => VOTING_ATTEMPT_STATES.includes(a.state));
  return {
    job: jobRow(job),
    states: statesOf(job.shards),
    touched: job.shards
      .filter((s) => (isOpen(s) || s.state === 'blocked') && (s.wanted !== quorumOf(job.row.spec) || s.coreOnly))
      .map(shardRow),
    attempts: attempts.sort((a, b) => a.fence.seq - b.fence.seq).map((attempt) => ({ ...attempt })),
    votes: job.votes.filter((vote) => vote.refusal === null && openIds.has(vote.shardId)),
    voteCount: countVotes(job),
  };
}

/** Shards of a job, in id order, as everybody locks them. */
async function lockShards(
  tx: Transaction,
  tables: Tables,
  id: string,
  which: (shard: ShardUnderChange) => boolean = () => true,
): Promise<void> {
  await tx.statement();
  const shards = (tables.jobs.get(id)?.shards ?? []).filter(which);
  await tx.lock(
    'shard',
    shards.map((shard) => shard.id),
    'no key update',
  );
}

/** Claims and lists take jobs in this order: as they were submitted. */
export function bySubmission(a: MemoryJob, b: MemoryJob): number {
  return a.row.submittedAt - b.row.submittedAt || (a.row.id < b.row.id ? -1 : 1);
}

function newJob(tx: Transaction, tables: Tables, { id, tenant, submittedBy, spec, at }: NewJob): MemoryJob {
  const shards = Array.from({ length: shardCount(spec) }, (_, index): ShardUnderChange => {
    const state = index < mapShardCount(spec) ? 'pending' : 'blocked';
    return { id: (tables.shardIds += 1), job: id, index, state, wanted: quorumOf(spec), failures: 0, output: null, coreOnly: false };
  });
  for (const shard of shards) tx.put(tables.shards, shard.id, shard);
  const row: JobRow = {
    id,
    partition: partitionOf(id),
    tenant,
    submittedBy,
    spec: structuredClone(spec),
    state: 'queued',
    reason: null,
    submittedAt: at,
    finishedAt: null,
  };
  const job: MemoryJob = { row, shards, votes: [] };
  tx.put(tables.jobs, id, job);
  return job;
}

async function stopShards(tx: Transaction, tables: Tables, job: MemoryJob, end: { reason: string; at: number }): Promise<void> {
  await tx.statement();
  for (const shard of job.shards) {
    for (const attempt of attemptsOfShard(tables, shard)) {
      if (!VOTING_ATTEMPT_STATES.includes(attempt.state)) continue;
      tx.set<MemoryAttempt>(attempt, { state: 'released', endedAt: attempt.endedAt ?? end.at, reason: end.reason });
    }
  }
  await tx.statement();
  for (const shard of job.shards) {
    if (!isOpen(shard) || shard.state === 'pending') continue;
    const gaveUp = job.row.state === 'failed' && shard.failures >= job.row.spec.maxFailures;
    tx.set(shard, gaveUp ? { wanted: 0, state: 'failed' } : { wanted: 0 });
  }
}

function isOpen(shard: ShardUnderChange): boolean {
  return OPEN_SHARD_STATES.includes(shard.state);
}

function countVotes(job: MemoryJob): number {
  return job.votes.filter((vote) => vote.refusal === null).length;
}

function jobRow({ row }: MemoryJob): JobRow {
  return { ...row };
}

function shardRow({ id, index, state, wanted, failures, output, coreOnly, decided, retryAt }: ShardUnderChange): ShardRow {
  const wait = retryAt === undefined ? {} : { retryAt };
  return { id, index, state, wanted, failures, output, coreOnly, ...(decided === undefined ? {} : { decided }), ...wait };
}
