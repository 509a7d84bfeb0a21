import { sql } from 'kysely';

import type { AttemptState } from '#actors/contract/job-states.ts';
import { type Fence, fenceText } from '#actors/contract/primitives.ts';
import type { AttemptUnderChange, Scene, ShardUnderChange } from '../shard-rules.ts';
import { fencesOf } from '../fences-of.ts';
import type { StandingUnderChange } from '../standing-rules.ts';
import type { Change, VoteRow } from '../store.ts';
import { SHARD_COLUMNS, type ShardRecord, shardRow } from './rows.ts';
import { type AuditChange, lockStandings } from './standings.ts';
import type { Tx } from './transaction.ts';

/** A scene that remembers what must be written back. */
export interface PostgresScene extends Scene {
  readonly touchedShards: ReadonlySet<ShardUnderChange>;
  readonly touchedAttempts: ReadonlySet<AttemptUnderChange>;
  readonly recorded: readonly VoteRow[];
  readonly taught: ReadonlySet<StandingUnderChange>;
  readonly audits: readonly AuditChange[];
}

/** Locks the shards of these attempts in id order, then reads all that a change to them may depend on. */
export async function readScene(tx: Tx, changes: readonly Change[]): Promise<PostgresScene> {
  const fences = fencesOf(changes);
  const shards = await lockShards(
    tx,
    fences,
    changes.flatMap((change) => (change.type === 'reopen' ? [change.shardId] : [])),
  );
  const attempts = await readAttempts(tx, fences);
  const voters = await readVoters(tx, [...shards.keys()]);
  const standings = await lockStandings(tx, changes);
  const touchedShards = new Set<ShardUnderChange>();
  const taught = new Set<StandingUnderChange>();
  const audits: AuditChange[] = [];
  const touchedAttempts = new Set<AttemptUnderChange>();
  const recorded: VoteRow[] = [];
  return {
    shard: (id) => shards.get(id),
    attempt: (fence) => attempts.get(fenceText(fence)),
    voters: (shardId) => voters.get(shardId) ?? new Set(),
    touch: (shard, attempt) => {
      touchedShards.add(shard);
      if (attempt !== null) touchedAttempts.add(attempt);
    },
    record: (vote) => {
      recorded.push(vote);
      if (vote.refusal === null) voters.get(vote.shardId)?.add(vote.device);
    },
    standing: (device, app) => {
      const standing = standings.get(`${app} ${device}`);
      if (standing === undefined) throw new Error(`The standing of ${device} was not locked.`);
      taught.add(standing);
      return standing;
    },
    audit: ({ id: shardId, job, index }, change) => void audits.push({ shardId, job, index, change }),
    touchedShards,
    touchedAttempts,
    recorded,
    taught,
    audits,
  };
}

async function lockShards(tx: Tx, fences: readonly Fence[], ids: readonly number[]): Promise<ReadonlyMap<number, ShardUnderChange>> {
  const { rows } = await sql<ShardRecord & { job_id: string }>`
    select ${SHARD_COLUMNS}, s.job_id from job_shards s
    where s.id = any(array(select a.shard_id from shard_attempts a where (a.epoch, a.seq) in (${fenceRows(fences)})) || ${ids}::bigint[])
    order by s.id for no key update
  `.execute(tx);
  return new Map(rows.map((row) => [row.id, { ...shardRow(row), job: row.job_id }]));
}

interface AttemptRecord {
  epoch: number;
  seq: number;
  shard_id: number;
  device: string;
  state: AttemptState;
  ended_at: number | null;
  reason: string | null;
}

async function readAttempts(tx: Tx, fences: readonly Fence[]): Promise<ReadonlyMap<string, AttemptUnderChange>> {
  const { rows } = await sql<AttemptRecord>`
    select epoch, seq, shard_id, device, state, ended_at, reason from shard_attempts where (epoch, seq) in (${fenceRows(fences)})
  `.execute(tx);
  return new Map(
    rows.map(({ epoch, seq, shard_id: shardId, device, state, ended_at: endedAt, reason }) => {
      const fence = { epoch, seq };
      return [fenceText(fence), { fence, shardId, device, state, endedAt, reason }];
    }),
  );
}

/** Who has a vote that counts, by shard. */
async function readVoters(tx: Tx, shardIds: readonly number[]): Promise<ReadonlyMap<number, Set<string>>> {
  const { rows } = await sql<{ shard_id: number; device: string }>`
    select shard_id, device from shard_results where shard_id = any(${shardIds}::bigint[]) and refusal is null
  `.execute(tx);
  const voters = new Map(shardIds.map((id) => [id, new Set<string>()]));
  for (const { shard_id: shardId, device } of rows) voters.get(shardId)?.add(device);
  return voters;
}

function fenceRows(fences: readonly Fence[]) {
  return sql`select * from unnest(${fences.map((f) => f.epoch)}::bigint[], ${fences.map((f) => f.seq)}::bigint[])`;
}
