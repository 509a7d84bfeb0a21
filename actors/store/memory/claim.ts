import { admissible, anyMayRun } from '../claim-rules.ts';
import { BARRING_ATTEMPT_STATES, OPEN_SHARD_STATES } from '../shard-rules.ts';
import type { Candidate, ClaimRequest, Lease } from '../store.ts';
import { bySubmission } from './jobs.ts';
import { addAttempt, attemptsOfShard, holdEpoch, type MemoryJob, type Tables } from './tables.ts';

/** Candidates, placement and leases in one go. */
export function claim(tables: Tables, request: ClaimRequest): readonly Lease[] {
  const jobs = [...tables.jobs.values()].filter(({ row }) => row.state === 'running' && request.epochs.has(row.partition));
  for (const { row } of jobs) holdEpoch(tables, row.partition, request.epochs.get(row.partition));
  const candidates = findCandidates(tables, jobs, request);
  if (candidates.length === 0) return [];
  return admissible(candidates, request.devices, request.place(candidates)).map(({ candidate, device }) =>
    lease(tables, candidate, device, request),
  );
}

function findCandidates(tables: Tables, jobs: readonly MemoryJob[], { devices, limit }: ClaimRequest): readonly Candidate[] {
  const ordered = jobs.toSorted((a, b) => b.row.spec.priority - a.row.spec.priority || bySubmission(a, b));
  const found: Candidate[] = [];
  for (const { row, shards } of ordered) {
    for (const shard of shards) {
      if (found.length >= limit) return found;
      if (shard.wanted === 0 || !OPEN_SHARD_STATES.includes(shard.state)) continue;
      const barring = attemptsOfShard(tables, shard).filter((attempt) => BARRING_ATTEMPT_STATES.includes(attempt.state));
      const barred = [...new Set(barring.map((attempt) => attempt.device))];
      if (!anyMayRun(devices, barred)) continue;
      const { id: shardId, index, wanted } = shard;
      found.push({ shardId, job: row.id, partition: row.partition, index, wanted, priority: row.spec.priority, barred });
    }
  }
  return found;
}

function lease(tables: Tables, { shardId, job, partition, index }: Candidate, device: string, { epochs, at }: ClaimRequest): Lease {
  const shard = tables.shards.get(shardId);
  const epoch = epochs.get(partition);
  if (!shard || epoch === undefined) throw new Error(`Shard ${shardId} was a candidate a moment ago.`);
  shard.wanted -= 1;
  if (shard.state === 'pending') shard.state = 'leased';
  const fence = { epoch, seq: (tables.fences += 1) };
  addAttempt(tables, { fence, job, shardId, index, device, state: 'leased', leasedAt: at, endedAt: null, reason: null });
  return { fence, job, partition, shardId, index, device };
}
