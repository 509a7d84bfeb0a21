import { sql } from 'kysely';

import type { ObjectRef } from '#actors/contract/primitives.ts';

import type { KeepingVerbs, Unwanted } from '../keeping.ts';
import { type Database, inTransaction, type Tx } from './transaction.ts';

type Objects = Pick<
  KeepingVerbs,
  'recordObjects' | 'adoptObjects' | 'unwantedObjects' | 'sweepObjects' | 'forgetCheckpoints' | 'takeSweep' | 'endSweep'
>;

const OVER = sql`('done', 'failed', 'cancelled')`;

/**
 * Every object that something refers to. A spec refers to whatever looks like a hash in it: new kinds of inputs are safe before
 * anybody has thought of this statement. An accepted output is always that of a vote.
 */
const WANTED = sql`
  select (regexp_matches(spec::text, '[0-9a-f]{64}', 'g'))[1] as sha256 from jobs
  union all select sha256 from shard_results where bytes is null and refusal is null
  union all select c.sha256 from checkpoints c join jobs j on j.id = c.job_id where j.state not in ${OVER}
  union all select sha256 from stored_models
  union all select chunks from stored_models
  union all select sha256 from api_files
`;

/** By hash, so that two callers with the same objects wait for each other instead of locking each other out. */
function sorted(objects: readonly ObjectRef[]): readonly ObjectRef[] {
  return [...new Map(objects.map((object) => [object.sha256, object])).values()].sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1));
}

function asRows(objects: readonly ObjectRef[]) {
  return sql`unnest(${objects.map((o) => o.sha256)}::text[], ${objects.map((o) => o.size)}::bigint[])`;
}

export function objectVerbs(db: Database): Objects {
  return {
    async recordObjects(objects, at) {
      await sql`
        insert into objects (sha256, size, recorded_at) select *, ${at}::bigint from ${asRows(sorted(objects))}
        on conflict (sha256) do update set recorded_at = greatest(objects.recorded_at, excluded.recorded_at)
      `.execute(db);
    },
    async adoptObjects(objects, at) {
      const { rows } = await sql`
        insert into objects (sha256, size, recorded_at) select *, ${at}::bigint from ${asRows(sorted(objects))}
        on conflict (sha256) do nothing returning sha256
      `.execute(db);
      return rows.length;
    },
    async unwantedObjects(before) {
      const { rows } = await sql<{ objects: number; bytes: number }>`
        with wanted as materialized (${WANTED})
        select count(*)::int as objects, coalesce(sum(size), 0)::float8 as bytes from objects o
        where recorded_at < ${before} and not exists (select from wanted w where w.sha256 = o.sha256)
      `.execute(db);
      return rows[0] ?? { objects: 0, bytes: 0 };
    },
    sweepObjects: (what, remove) =>
      inTransaction(db, async (tx) => {
        const locked = await lockUnwanted(tx, what);
        // A new statement: what was committed before the locks were granted is seen now.
        const gone = await stillUnwanted(tx, locked);
        if (gone.length === 0) return [];
        await remove(gone);
        await sql`delete from objects where sha256 = any(${gone.map((o) => o.sha256)}::text[])`.execute(tx);
        return gone;
      }),
    async forgetCheckpoints(dryRun) {
      const over = sql`not exists (select from jobs j where j.id = c.job_id and j.state not in ${OVER})`;
      const { rows } = await (
        dryRun ? sql`select c.device from checkpoints c where ${over}` : sql`delete from checkpoints c where ${over} returning c.device`
      ).execute(db);
      return rows.length;
    },
    async takeSweep(holder, { at, until, early }) {
      const { rows } = await sql`
        update sweeps set holder = ${holder}, held_until = ${until}
        where id = 1 and (holder = ${holder} or ((${early}::boolean or due_at <= ${at}) and held_until <= ${at})) returning id
      `.execute(db);
      return rows.length === 1;
    },
    async endSweep(holder, dueAt) {
      await sql`update sweeps set holder = null, held_until = 0, due_at = ${dueAt} where id = 1 and holder = ${holder}`.execute(db);
    },
  };
}

async function lockUnwanted(tx: Tx, { before, limit, only }: Unwanted): Promise<readonly ObjectRef[]> {
  const among = only === undefined ? sql`` : sql`and o.sha256 = any(${[...only]}::text[])`;
  const { rows } = await sql<ObjectRef>`
    with wanted as materialized (${WANTED})
    select sha256, size from objects o
    where recorded_at < ${before} ${among} and not exists (select from wanted w where w.sha256 = o.sha256)
    order by sha256 limit ${limit} for update of o skip locked
  `.execute(tx);
  return rows;
}

async function stillUnwanted(tx: Tx, locked: readonly ObjectRef[]): Promise<readonly ObjectRef[]> {
  if (locked.length === 0) return [];
  const { rows } = await sql<ObjectRef>`
    with wanted as materialized (${WANTED})
    select sha256, size from objects o
    where sha256 = any(${locked.map((o) => o.sha256)}::text[]) and not exists (select from wanted w where w.sha256 = o.sha256)
  `.execute(tx);
  return rows;
}
