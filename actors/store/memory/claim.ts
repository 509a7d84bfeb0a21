import { maxErrorOf } from '#actors/contract/job-spec.ts';
import { admissible, anyMayRun } from '../claim-rules.ts';
import { BARRING_ATTEMPT_STATES, OPEN_SHARD_STATES, type ShardUnderChange } from '../shard-rules.ts';
import type { Candidate, ClaimRequest, DeviceRow, Draw, JobRow, Lease } from '../store.ts';
import { bySubmission } from './jobs.ts';
import { addAttempt, attemptsOfShard, checkEpoch, type MemoryJob, type Tables } from './tables.ts';
import type { Connection, Transaction } from './transaction.ts';

/** Statement for statement what `postgres/claim.ts` does: hold partitions, lock candidates (skip locked), read them anew, write. */
export async function claim(connection: Connection, tables: Tables, asked: ClaimRequest): Promise<readonly Lease[]> {
  // A claim names the epochs that its coordinator knows now, whatever it learns while the claim waits.
  const request = { ...asked, epochs: new Map(asked.epochs) };
  const devices = [...new Set(request.devices)];
  if (devices.length === 0 || request.epochs.size === 0 || request.limit <= 0) return [];
  return connection.transaction('claim', async (tx) => {
    const partitions = await holdPartitionsWithWork(tx, tables, request.epochs);
    if (partitions.size === 0) return [];
    const { limit, draws, at } = request;
    const locked = draws
      ? await lockDrawn(tx, tables, draws, { partitions, devices, limit, at })
      : await lockCandidates(tx, tables, { partitions, devices, limit, at });
    if (locked.length === 0) return [];
    const candidates = (await readCandidates(tx, tables, locked, devices)).filter(({ barred }) => anyMayRun(devices, barred));
    const leases = admissible(candidates, devices, request.place(candidates));
    return leases.length === 0 ? [] : write(tx, tables, leases, request);
  });
}

type Leases = ReturnType<typeof admissible>;

async function holdPartitionsWithWork(tx: Transaction, tables: Tables, epochs: ReadonlyMap<number, number>): Promise<ReadonlySet<number>> {
  await tx.statement();
  const withWork = new Set<number>();
  for (const { row } of tables.jobs.values()) if (row.state === 'running' && epochs.has(row.partition)) withWork.add(row.partition);
  for (const partition of [...withWork].sort((a, b) => a - b)) {
    tx.epochs.set(partition, epochs.get(partition));
    await tx.lock('partition', [partition], 'share');
    checkEpoch(tables, partition, epochs.get(partition));
  }
  return withWork;
}

interface Wanted {
  readonly partitions: ReadonlySet<number>;
  readonly devices: readonly string[];
  readonly limit: number;
  readonly at: number;
}

async function lockCandidates(tx: Transaction, tables: Tables, wanted: Wanted): Promise<readonly ShardUnderChange[]> {
  await tx.statement();
  const jobs = [...tables.jobs.values()].sort((a, b) => b.row.spec.priority - a.row.spec.priority || bySubmission(a, b));
  return lockShardsOf(tx, tables, jobs, wanted);
}

/** A statement for each draw. */
async function lockDrawn(tx: Transaction, tables: Tables, draws: readonly Draw[], wanted: Wanted): Promise<readonly ShardUnderChange[]> {
  const locked: ShardUnderChange[] = [];
  for (const draw of draws) {
    const limit = Math.min(draw.limit, wanted.limit - locked.length);
    if (limit <= 0) break;
    await tx.statement();
    const jobs = draw.jobs.flatMap((id) => tables.jobs.get(id) ?? []);
    locked.push(...lockShardsOf(tx, tables, jobs, { ...wanted, limit }));
  }
  return locked;
}

/** One step without a wait: past the shards that somebody else holds. */
function lockShardsOf(
  tx: Transaction,
  tables: Tables,
  jobs: readonly MemoryJob[],
  { partitions, devices, limit, at }: Wanted,
): ShardUnderChange[] {
  const locked: ShardUnderChange[] = [];
  for (const { row, shards } of jobs) {
    if (row.state !== 'running' || !partitions.has(row.partition)) continue;
    const trust = trustConstraints(tables, row, devices);
    for (const shard of shards) {
      if (locked.length >= limit) return locked;
      if (shard.wanted === 0 || !OPEN_SHARD_STATES.includes(shard.state) || (shard.retryAt ?? 0) > at) continue;
      if (!anyMayRun(devices, barredFrom(tables, shard, trust))) continue;
      if (tx.tryLock('shard', shard.id, 'no key update')) locked.push(shard);
    }
  }
  return locked;
}

/** A new statement: what is barred may have changed before the lock came. Holds the jobs' rows, so that none is stopped meanwhile. */
async function readCandidates(
  tx: Transaction,
  tables: Tables,
  locked: readonly ShardUnderChange[],
  devices: readonly string[],
): Promise<readonly Candidate[]> {
  await tx.statement();
  const trustOf = new Map(
    Array.from(new Set(locked.map(({ job }) => job)), (id) => [id, trustConstraints(tables, tables.jobs.get(id)?.row, devices)]),
  );
  const barred = new Map(locked.map((shard) => [shard.id, barredFrom(tables, shard, trustOf.get(shard.job) ?? null)]));
  for (const id of new Set(locked.map(({ job }) => job))) await tx.lock('job', [id], 'share');
  return locked.flatMap(({ id: shardId, job: id, index, wanted, state }) => {
    const row = tables.jobs.get(id)?.row;
    if (row?.state !== 'running') return [];
    const candidate = {
      shardId,
      job: id,
      partition: row.partition,
      index,
      wanted,
      priority: row.spec.priority,
      barred: barred.get(shardId) ?? [],
    };
    return [state === 'voting' && (trustOf.get(id) ?? null) !== null ? { ...candidate, again: true } : candidate];
  });
}

/** What a job that goes by belief asks of its devices. */
interface TrustConstraints {
  readonly quarantined: readonly string[];
  /** Of the devices that ask. */
  readonly rows: ReadonlyMap<string, DeviceRow>;
}

function trustConstraints(tables: Tables, job: JobRow | undefined, devices: readonly string[]): TrustConstraints | null {
  if (job === undefined || maxErrorOf(job.spec) === null) return null;
  const app = job.spec.module.sha256;
  const rows = new Map<string, DeviceRow>();
  for (const id of devices) {
    const row = tables.devices.get(id)?.row;
    if (row !== undefined) rows.set(id, row);
  }
  return { rows, quarantined: devices.filter((id) => (tables.standings.get(`${app} ${id}`)?.quarantine ?? null) !== null) };
}

/** Devices that have an attempt or a vote; and by trust those of one principal with them, in quarantine, or without the say. */
function barredFrom(tables: Tables, shard: ShardUnderChange, trust: TrustConstraints | null): string[] {
  const barred = new Set<string>();
  for (const { state, device } of attemptsOfShard(tables, shard)) if (BARRING_ATTEMPT_STATES.includes(state)) barred.add(device);
  if (trust === null) return [...barred];
  if (barred.size > 0 || shard.coreOnly) {
    const voices = new Set(Array.from(barred, (id) => tables.devices.get(id)?.row.principal));
    for (const [id, row] of trust.rows) {
      // A trusted device may check its own neighbours.
      if (!row.trusted && (shard.coreOnly || voices.has(row.principal))) barred.add(id);
    }
  }
  for (const id of trust.quarantined) barred.add(id);
  return [...barred];
}

async function write(tx: Transaction, tables: Tables, leases: Leases, { epochs, at }: ClaimRequest): Promise<readonly Lease[]> {
  await tx.statement();
  const taken = new Map<number, number>();
  const made = leases.map(({ candidate: { shardId, job, partition, index }, device }): Lease => {
    const epoch = epochs.get(partition);
    if (epoch === undefined) throw new Error(`Partition ${partition} was held a moment ago.`);
    const fence = { epoch, seq: (tables.fences += 1) };
    addAttempt(tx, tables, { fence, job, shardId, index, device, state: 'leased', leasedAt: at, endedAt: null, reason: null });
    taken.set(shardId, (taken.get(shardId) ?? 0) + 1);
    return { fence, job, partition, shardId, index, device };
  });
  for (const [id, count] of taken) {
    await tx.lock('shard', [id], 'no key update');
    const shard = tables.shards.get(id);
    if (shard) tx.set(shard, { wanted: shard.wanted - count, state: shard.state === 'pending' ? 'leased' : shard.state });
  }
  return made;
}
