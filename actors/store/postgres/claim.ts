import { sql } from 'kysely';

import { admissible, anyMayRun } from '../claim-rules.ts';
import { BARRING_ATTEMPT_STATES, OPEN_SHARD_STATES } from '../shard-rules.ts';
import type { Candidate, ClaimRequest, Draw, Lease } from '../store.ts';
import { staleEpoch } from './hold-epochs.ts';
import { isJobId, stateList } from './rows.ts';
import { type Database, inTransaction, type Tx } from './transaction.ts';

/**
 * Leases shards of running jobs, highest priority first, then the job that was submitted first, then by shard.
 *
 * 1. The partitions that have running jobs are held at their epochs.
 * 2. Candidates are locked, past those that somebody else holds (skip locked). The walk goes job by job over a partial
 *    index of shards that want attempts, so paused and finished jobs cost nothing.
 * 3. A new statement reads who is barred and holds the jobs' rows: the view of statement 2 is older than its locks.
 * 4. `place` decides, and one statement writes attempts and shards.
 *
 * A shard that every given device is barred from is walked past, not locked. That walk is the cost of a fleet in which
 * one machine is far ahead of all others: it passes the shards that wait for the others.
 *
 * @throws StaleEpoch when a partition with running jobs was taken
 */
export async function claim(db: Database, asked: ClaimRequest): Promise<readonly Lease[]> {
  // A claim names the epochs that its coordinator knows now, whatever it learns while the claim waits.
  const request = { ...asked, epochs: new Map(asked.epochs) };
  const devices = [...new Set(request.devices)];
  if (devices.length === 0 || request.epochs.size === 0 || request.limit <= 0) return [];
  return inTransaction(db, async (tx) => {
    const partitions = await holdPartitionsWithWork(tx, request.epochs);
    if (partitions.length === 0) return [];
    const shardIds = request.draws
      ? await lockDrawn(tx, request.draws, { partitions, devices, limit: request.limit, at: request.at })
      : await lockCandidates(tx, { partitions, devices, limit: request.limit, at: request.at });
    if (shardIds.length === 0) return [];
    const candidates = (await readCandidates(tx, shardIds, devices)).filter(({ barred }) => anyMayRun(devices, barred));
    const leases = admissible(candidates, devices, request.place(candidates));
    return leases.length === 0 ? [] : write(tx, leases, request);
  });
}

async function holdPartitionsWithWork(tx: Tx, epochs: ReadonlyMap<number, number>): Promise<readonly number[]> {
  const { rows } = await sql<{ id: number; epoch: number }>`
    select id, epoch from partitions
    where id in (select partition from jobs where state = 'running' and partition = any(${[...epochs.keys()]}::int[]))
    order by id for share
  `.execute(tx);
  for (const { id, epoch } of rows) {
    if (epochs.get(id) !== epoch) throw staleEpoch(id, epochs.get(id), epoch);
  }
  return rows.map((row) => row.id);
}

/** Shards in claim order, locked. The order of the outer rows is that of the jobs: a lateral join is a nested loop. */
async function lockCandidates(tx: Tx, { partitions, devices, limit, at }: DrawScope): Promise<readonly number[]> {
  const { rows } = await sql<{ id: number }>`
    with asking as materialized (${asking(devices)})
    select wanting.id from (
      select id, app from jobs
      where state = 'running' and partition = any(${partitions}::int[])
      order by priority desc, submitted_at, id
    ) job cross join lateral (${wantingOf('job', { devices, limit, at })}) wanting
    limit ${limit}::int
  `.execute(tx);
  return rows.map((row) => row.id);
}

interface DrawScope {
  readonly partitions: readonly number[];
  readonly devices: readonly string[];
  readonly limit: number;
  readonly at: number;
}

/** Draw by draw, each up to its limit. Jobs that do not run any more yield nothing. */
async function lockDrawn(tx: Tx, draws: readonly Draw[], { partitions, devices, limit, at }: DrawScope): Promise<readonly number[]> {
  const found: number[] = [];
  for (const draw of draws) {
    const room = Math.min(draw.limit, limit - found.length);
    if (room <= 0) break;
    const { rows } = await sql<{ id: number }>`
      with asking as materialized (${asking(devices)})
      select wanting.id from (
        select j.id, j.app from unnest(${draw.jobs.filter(isJobId)}::uuid[]) with ordinality d (id, n) join jobs j on j.id = d.id
        where j.state = 'running' and j.partition = any(${partitions}::int[])
        order by d.n
      ) job cross join lateral (${wantingOf('job', { devices, limit: room, at })}) wanting
      limit ${room}::int
    `.execute(tx);
    for (const { id } of rows) found.push(id);
  }
  return found;
}

/** Shards of one job that want attempts and that at least one of the devices may run. Its statement knows who is `asking`. */
function wantingOf(job: string, { devices, limit, at }: Omit<DrawScope, 'partitions'>) {
  return sql`
    select s.id from job_shards s
    where s.job_id = ${sql.ref(`${job}.id`)} and s.wanted > 0 and s.state in (${stateList(OPEN_SHARD_STATES)})
      and (s.retry_at is null or s.retry_at <= ${at}::bigint)
      and case when ${sql.ref(`${job}.app`)} is null then (
        select count(distinct a.device) from shard_attempts a
        where a.shard_id = s.id and a.device = any(${devices}::text[]) and a.state in (${stateList(BARRING_ATTEMPT_STATES)})
      ) < ${devices.length}::int
      else exists (select 1 from asking d where not ${barredByTrust(job)}) end
    order by s.id
    limit ${limit}::int
    for no key update of s skip locked
  `;
}

interface CandidateRecord {
  id: number;
  job_id: string;
  partition: number;
  shard_index: number;
  wanted: number;
  priority: number;
  barred: readonly string[];
  again: boolean;
}

async function readCandidates(tx: Tx, shardIds: readonly number[], devices: readonly string[]): Promise<readonly Candidate[]> {
  const { rows } = await sql<CandidateRecord>`
    with asking as materialized (${asking(devices)})
    select s.id, s.job_id, j.partition, s.shard_index, s.wanted, j.priority, array(
      select a.device from shard_attempts a where a.shard_id = s.id and a.state in (${stateList(BARRING_ATTEMPT_STATES)})
      union
      select d.id from asking d where j.app is not null and ${barredByTrust('j')}
    ) as barred, j.app is not null and s.state = 'voting' as again
    from job_shards s join jobs j on j.id = s.job_id
    where s.id = any(${shardIds}::bigint[]) and j.state = 'running'
    for share of j
  `.execute(tx);
  const byId = new Map(rows.map((row) => [row.id, row]));
  return shardIds.flatMap((id) => {
    const row = byId.get(id);
    if (!row) return [];
    const { job_id: job, partition, shard_index: index, wanted, priority, barred, again } = row;
    const candidate = { shardId: id, job, partition, index, wanted, priority, barred };
    return [again ? { ...candidate, again } : candidate];
  });
}

/** The devices that ask, and who vouches for them. */
function asking(devices: readonly string[]) {
  return sql`
    select ids.id, d.principal, coalesce(d.trusted, false) as trusted
    from unnest(${devices}::text[]) ids (id) left join devices d on d.id = ids.id
  `;
}

/**
 * Whether the answer of device `d` on shard `s` would be worth nothing to a job that goes by belief: it or one of its
 * principal has an attempt or a vote, it is in quarantine, or only trusted devices may decide. A trusted device may check
 * its own neighbours.
 */
function barredByTrust(job: string) {
  return sql`(
    (s.core_only and not d.trusted)
    or exists (
      select 1 from shard_attempts a left join devices v on v.id = a.device
      where a.shard_id = s.id and a.state in (${stateList(BARRING_ATTEMPT_STATES)})
        and (a.device = d.id or (not d.trusted and v.principal = d.principal))
    )
    or exists (
      select 1 from device_reputation r where r.app = ${sql.ref(`${job}.app`)} and r.device = d.id and r.quarantine is not null
    )
  )`;
}

async function write(tx: Tx, leases: ReturnType<typeof admissible>, { epochs, at }: ClaimRequest): Promise<readonly Lease[]> {
  const { rows } = await sql<{ epoch: number; seq: number; n: number }>`
    with lease as (
      select *, nextval('attempt_fence') as seq from unnest(
        ${leases.map((l) => epochs.get(l.candidate.partition))}::bigint[],
        ${leases.map((l) => l.candidate.job)}::uuid[],
        ${leases.map((l) => l.candidate.shardId)}::bigint[],
        ${leases.map((l) => l.candidate.index)}::int[],
        ${leases.map((l) => l.device)}::text[]
      ) with ordinality as l (epoch, job_id, shard_id, shard_index, device, n)
    ), attempts as (
      insert into shard_attempts (epoch, seq, job_id, shard_id, shard_index, device, state, leased_at)
      select epoch, seq, job_id, shard_id, shard_index, device, 'leased', ${at}::bigint from lease
    ), shards as (
      update job_shards s set
        wanted = s.wanted - taken.n,
        state = case when s.state = 'pending' then 'leased' else s.state end
      from (select shard_id, count(*)::int as n from lease group by shard_id) taken
      where s.id = taken.shard_id
    )
    select epoch, seq, n from lease order by n
  `.execute(tx);
  return rows.flatMap(({ epoch, seq, n }) => {
    const lease = leases[n - 1];
    if (!lease) return [];
    const { shardId, job, partition, index } = lease.candidate;
    return [{ fence: { epoch, seq }, job, partition, shardId, index, device: lease.device }];
  });
}
