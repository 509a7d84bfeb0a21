import { mapShardCount, shardCount } from '#actors/contract/job-spec.ts';
import type { JobState } from '#actors/contract/job-states.ts';
import { emptyTally } from '../job-tally.ts';
import { partitionOf } from '../partition.ts';
import { OPEN_SHARD_STATES, VOTING_ATTEMPT_STATES, type ShardUnderChange } from '../shard-rules.ts';
import { storableText } from '../storable-text.ts';
import type { JobRow, NewJob, ShardRow, Store } from '../store.ts';
import { attemptsOfShard, holdEpoch, type MemoryJob, type Tables } from './tables.ts';

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
  | 'votesOf'
  | 'attemptsOf'
  | 'shardsOf'
>;

const FINAL: ReadonlySet<JobState> = new Set(['done', 'failed', 'cancelled']);

export function jobVerbs(tables: Tables): Jobs {
  return {
    createJob: async (job, epoch) => {
      holdEpoch(tables, partitionOf(job.id), epoch);
      const there = tables.jobs.get(job.id);
      if (there) return { created: false, job: jobRow(there) };
      const made = newJob(tables, job);
      return { created: true, job: jobRow(made) };
    },
    findJob: async (id) => {
      const job = tables.jobs.get(id);
      return job ? jobRow(job) : null;
    },
    listJobs: async (tenant, limit) =>
      [...tables.jobs.values()]
        .filter(({ row }) => tenant === null || row.tenant === tenant)
        .sort((a, b) => b.row.submittedAt - a.row.submittedAt || (a.row.id < b.row.id ? 1 : -1))
        .slice(0, limit)
        .map(jobRow),
    tallyJobs: async (ids) =>
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
    openJobs: async (partitions) =>
      [...tables.jobs.values()]
        .filter(({ row }) => !FINAL.has(row.state) && partitions.includes(row.partition))
        .sort(bySubmission)
        .map(({ row: { id, partition } }) => ({ id, partition })),
    activateJob: async (id, epoch) => {
      holdEpoch(tables, partitionOf(id), epoch);
      const job = tables.jobs.get(id);
      if (!job) return null;
      const open = job.shards.filter(isOpen);
      const openIds = new Set(open.map((shard) => shard.id));
      const attempts = open.flatMap((shard) => attemptsOfShard(tables, shard)).filter((a) => VOTING_ATTEMPT_STATES.includes(a.state));
      return {
        job: jobRow(job),
        shards: job.shards.map(shardRow),
        attempts: attempts.sort((a, b) => a.fence.seq - b.fence.seq).map((attempt) => ({ ...attempt })),
        votes: job.votes.filter((vote) => vote.refusal === null && openIds.has(vote.shardId)),
        voteCount: countVotes(job),
      };
    },
    moveJob: async (id, epoch, from, to, reason, at) => {
      holdEpoch(tables, partitionOf(id), epoch);
      const job = tables.jobs.get(id);
      if (!job || !from.includes(job.row.state)) return false;
      const why = reason === null ? null : storableText(reason);
      job.row = { ...job.row, state: to, reason: why, finishedAt: FINAL.has(to) ? at : null };
      if (to === 'cancelled' || to === 'failed') stopShards(tables, job, { reason: why ?? `job ${to}`, at });
      return true;
    },
    unblockMerge: async (id, epoch) => {
      holdEpoch(tables, partitionOf(id), epoch);
      const merge = tables.jobs.get(id)?.shards.find((shard) => shard.state === 'blocked');
      if (!merge) return false;
      merge.state = 'pending';
      return true;
    },
    seal: async (manifest, epoch) => {
      holdEpoch(tables, partitionOf(manifest.job), epoch);
      const job = tables.jobs.get(manifest.job);
      const sealed = tables.manifests.get(manifest.job);
      if (sealed) return sealed.body === manifest.body && sealed.signature === manifest.signature;
      if (!job || FINAL.has(job.row.state) || job.shards.some((shard) => shard.state !== 'provisional')) return false;
      job.row = { ...job.row, state: 'done', finishedAt: manifest.sealedAt };
      for (const shard of job.shards) shard.state = 'sealed';
      tables.manifests.set(manifest.job, { ...manifest });
      return true;
    },
    findManifest: async (job) => tables.manifests.get(job) ?? null,

    votesOf: async (id, index) =>
      (tables.jobs.get(id)?.votes ?? []).filter((vote) => index === null || vote.index === index).sort((a, b) => a.index - b.index),
    attemptsOf: async (id, index) =>
      (tables.jobs.get(id)?.shards ?? [])
        .filter((shard) => index === null || shard.index === index)
        .flatMap((shard) => attemptsOfShard(tables, shard))
        .map((attempt) => ({ ...attempt })),
    shardsOf: async (id, index) =>
      (tables.jobs.get(id)?.shards ?? []).filter((s) => index === undefined || s.index === index).map(shardRow),
  };
}

/** Claims and lists take jobs in this order: as they were submitted. */
export function bySubmission(a: MemoryJob, b: MemoryJob): number {
  return a.row.submittedAt - b.row.submittedAt || (a.row.id < b.row.id ? -1 : 1);
}

function newJob(tables: Tables, { id, tenant, submittedBy, spec, at }: NewJob): MemoryJob {
  const shards = Array.from({ length: shardCount(spec) }, (_, index): ShardUnderChange => {
    const state = index < mapShardCount(spec) ? 'pending' : 'blocked';
    return { id: (tables.shardIds += 1), job: id, index, state, wanted: spec.quorum, failures: 0, output: null };
  });
  for (const shard of shards) tables.shards.set(shard.id, shard);
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
  const job = { row, shards, votes: [] };
  tables.jobs.set(id, job);
  return job;
}

function stopShards(tables: Tables, job: MemoryJob, { reason, at }: { reason: string; at: number }): void {
  for (const shard of job.shards) {
    if (job.row.state === 'failed' && isOpen(shard) && shard.failures >= job.row.spec.maxFailures) shard.state = 'failed';
    shard.wanted = 0;
    for (const attempt of tables.attemptsOfShard.get(shard.id) ?? []) {
      if (!VOTING_ATTEMPT_STATES.includes(attempt.state)) continue;
      attempt.state = 'released';
      attempt.endedAt ??= at;
      attempt.reason = reason;
    }
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

function shardRow({ id, index, state, wanted, failures, output }: ShardUnderChange): ShardRow {
  return { id, index, state, wanted, failures, output };
}
