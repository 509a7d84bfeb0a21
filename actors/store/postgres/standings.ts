import { sql } from 'kysely';

import { newStanding, type StandingUnderChange } from '../standing-rules.ts';
import type { AuditRow, Change, StandingRow, Store } from '../store.ts';
import { isJobId } from './rows.ts';
import type { Database, Tx } from './transaction.ts';

const COLUMNS = sql`r.app, r.device, r.a, r.b, r.results, r.strikes, r.quarantine, r.updated_at`;

interface StandingRecord {
  app: string;
  device: string;
  a: number;
  b: number;
  results: number;
  strikes: number;
  quarantine: string | null;
  updated_at: number;
}

function standingRow({ updated_at: updatedAt, ...rest }: StandingRecord): StandingUnderChange {
  return { ...rest, updatedAt };
}

export async function standings(db: Database, of: Parameters<Store['standings']>[0]): Promise<readonly StandingRow[]> {
  const which = 'app' in of ? sql`r.app = ${of.app}` : sql`r.device = ${of.device}`;
  const { rows } = await sql<StandingRecord>`
    select ${COLUMNS} from device_reputation r where ${which} order by r.app collate "C", r.device collate "C"
  `.execute(db);
  return rows.map(standingRow);
}

export async function pardon(db: Database, { device, app, at }: { device: string; app: string; at: number }): Promise<boolean> {
  const { a, b } = newStanding(device, app, at);
  const { rows } = await sql`
    update device_reputation set a = ${a}, b = ${b}, results = 0, strikes = 0, quarantine = null, updated_at = ${at}
    where app = ${app} and device = ${device} and quarantine is not null
    returning device
  `.execute(db);
  return rows.length > 0;
}

export async function auditsOf(db: Database, job: string): Promise<readonly AuditRow[]> {
  if (!isJobId(job)) return [];
  const { rows } = await sql<{ shard_index: number; reason: AuditRow['reason']; opened_at: number; wrong: readonly string[] | null }>`
    select shard_index, reason, opened_at, wrong from audits where job_id = ${job} order by opened_at, shard_index
  `.execute(db);
  return rows.map(({ shard_index: index, reason, opened_at: openedAt, wrong }) => ({ job, index, reason, openedAt, wrong }));
}

/** Standings of a batch of changes, by `app device`. */
export type Standings = ReadonlyMap<string, StandingUnderChange>;

/**
 * Locks the standings that these changes teach something, in one order for everybody. Those that do not exist yet are made
 * first: a row that is not there cannot be locked, and two coordinators may meet a device at once.
 */
export async function lockStandings(tx: Tx, changes: readonly Change[]): Promise<Standings> {
  const wanted = new Map<string, StandingUnderChange>();
  for (const change of changes) {
    if (change.type !== 'vote' || change.lessons === undefined) continue;
    const { app, learned } = change.lessons;
    for (const { device } of learned) wanted.set(`${app} ${device}`, newStanding(device, app, change.vote.at));
  }
  return lockStandingsOf(tx, [...wanted.values()]);
}

/** The same for these: as they begin, where there are none yet. Each once. */
export async function lockStandingsOf(tx: Tx, beginnings: readonly StandingUnderChange[]): Promise<Standings> {
  const wanted = new Map(beginnings.map((row) => [`${row.app} ${row.device}`, row]));
  if (wanted.size === 0) return wanted;
  const found = await selectForChange(tx, [...wanted.values()]);
  if (found.size === wanted.size) return found;
  await insertNew(
    tx,
    [...wanted].flatMap(([name, row]) => (found.has(name) ? [] : [row])),
  );
  return selectForChange(tx, [...wanted.values()]);
}

async function selectForChange(tx: Tx, rows: readonly StandingUnderChange[]): Promise<Standings> {
  const found = await sql<StandingRecord>`
    select ${COLUMNS} from device_reputation r
    where (r.app, r.device) in (select * from unnest(${rows.map((r) => r.app)}::text[], ${rows.map((r) => r.device)}::text[]))
    order by r.app, r.device for no key update
  `.execute(tx);
  return new Map(found.rows.map((row) => [`${row.app} ${row.device}`, standingRow(row)]));
}

async function insertNew(tx: Tx, rows: readonly StandingUnderChange[]): Promise<void> {
  await sql`
    insert into device_reputation (app, device, a, b, results, strikes, updated_at)
    select * from unnest(
      ${rows.map((r) => r.app)}::text[], ${rows.map((r) => r.device)}::text[], ${rows.map((r) => r.a)}::float8[],
      ${rows.map((r) => r.b)}::float8[], ${rows.map((r) => r.results)}::bigint[], ${rows.map((r) => r.strikes)}::int[],
      ${rows.map((r) => r.updatedAt)}::bigint[]
    ) r (app, device, a, b, results, strikes, updated_at)
    order by app, device
    on conflict do nothing
  `.execute(tx);
}

export async function writeStandings(tx: Tx, rows: readonly StandingUnderChange[]): Promise<void> {
  if (rows.length === 0) return;
  await sql`
    update device_reputation r
    set a = c.a, b = c.b, results = c.results, strikes = c.strikes, quarantine = c.quarantine, updated_at = c.updated_at
    from unnest(
      ${rows.map((r) => r.app)}::text[], ${rows.map((r) => r.device)}::text[], ${rows.map((r) => r.a)}::float8[],
      ${rows.map((r) => r.b)}::float8[], ${rows.map((r) => r.results)}::bigint[], ${rows.map((r) => r.strikes)}::int[],
      ${rows.map((r) => r.quarantine)}::text[], ${rows.map((r) => r.updatedAt)}::bigint[]
    ) c (app, device, a, b, results, strikes, quarantine, updated_at)
    where r.app = c.app and r.device = c.device
  `.execute(tx);
}

/** An audit that a batch opens, or its findings. */
export interface AuditChange {
  readonly shardId: number;
  readonly job: string;
  readonly index: number;
  readonly change: { readonly opened: AuditRow['reason']; readonly at: number } | { readonly wrong: readonly string[] };
}

/** In their order: a batch may open an audit and close it. Audits are few. */
export async function writeAudits(tx: Tx, audits: readonly AuditChange[]): Promise<void> {
  for (const { shardId, job, index, change } of audits) {
    if ('opened' in change) {
      await sql`
        insert into audits (job_id, shard_id, shard_index, reason, opened_at)
        values (${job}, ${shardId}, ${index}, ${change.opened}, ${change.at})
      `.execute(tx);
    } else {
      await sql`
        update audits set wrong = ${JSON.stringify([...new Set(change.wrong)])}::json
        where id = (select max(id) from audits where shard_id = ${shardId} and wrong is null)
      `.execute(tx);
    }
  }
}
