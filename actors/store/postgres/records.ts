import { sql } from 'kysely';

import { storableText } from '../storable-text.ts';
import type { EventRow, ModelRow } from '../store.ts';
import type { Database } from './transaction.ts';

/** Sorted, so that two callers with the same files wait for each other instead of locking each other out. */
export async function recordModels(db: Database, models: readonly ModelRow[], at: number): Promise<void> {
  const files = [...new Map(models.map((model) => [`${model.sha256} ${model.name}`, model])).entries()];
  const rows = files.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, model]) => model);
  await sql`
    insert into models (name, sha256, size, context_size, first_seen_at)
    select *, ${at}::bigint from unnest(
      ${rows.map((m) => storableText(m.name))}::text[],
      ${rows.map((m) => m.sha256)}::text[],
      ${rows.map((m) => m.size)}::bigint[],
      ${rows.map((m) => m.contextSize)}::int[]
    )
    on conflict (name, sha256) do update set size = excluded.size, context_size = excluded.context_size,
      first_seen_at = coalesce(models.first_seen_at, excluded.first_seen_at)
  `.execute(db);
}

export async function recordEvents(db: Database, events: readonly EventRow[]): Promise<void> {
  await sql`
    insert into events (at, subject, kind, text)
    select * from unnest(
      ${events.map((e) => e.at)}::bigint[],
      ${events.map((e) => storableText(e.subject))}::text[],
      ${events.map((e) => e.kind)}::text[],
      ${events.map((e) => storableText(e.text))}::text[]
    )
  `.execute(db);
}

/** Newest first; about one subject, or about all when it is null. */
export async function listEvents(db: Database, subject: string | null, limit: number): Promise<readonly EventRow[]> {
  const about = subject === null ? sql`` : sql`where subject = ${subject}`;
  const { rows } = await sql<EventRow>`select at, subject, kind, text from events ${about} order by id desc limit ${limit}`.execute(db);
  return rows;
}
