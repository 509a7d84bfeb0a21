import { maxErrorOf, quorumOf, shardCount } from '#actors/contract/job-spec.ts';
import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import type { JobSummary } from '#actors/contract/live.ts';
import type { JobRow } from '#actors/store/store.ts';

/** What people see of a job, made from its row and the tally of its shards. */
export function jobSummary(
  job: JobRow,
  counts: Record<ShardState, number>,
  votes: number,
  waiting: readonly JobSummary['reasons'][number][],
): JobSummary {
  const { spec } = job;
  const maxError = maxErrorOf(spec);
  return {
    id: job.id,
    name: spec.name,
    state: job.state,
    tenant: job.tenant,
    submittedBy: job.submittedBy,
    submittedAt: job.submittedAt,
    finishedAt: job.finishedAt,
    shards: shardCount(spec),
    counts,
    votes,
    quorum: quorumOf(spec),
    ...(maxError === null ? {} : { maxError }),
    verified: maxError !== null || quorumOf(spec) > 1,
    module: spec.module.sha256,
    view: spec.view ?? null,
    hasMerge: spec.merge !== undefined,
    reasons: job.reason === null ? [...waiting] : [{ reason: job.reason, shards: job.state === 'queued' ? counts.pending : counts.failed }],
  };
}

export function noCounts(): Record<ShardState, number> {
  return Object.fromEntries(SHARD_STATES.map((name) => [name, 0])) as Record<ShardState, number>;
}
