import { sql } from 'kysely';

import { type Database, inTransaction } from './transaction.ts';

/** One statement for all sessions. The transaction is for its second try: statements like this may deadlock. */
export async function beat(
  db: Database,
  sessions: readonly { readonly device: string; readonly sessionEpoch: number }[],
  at: number,
): Promise<ReadonlySet<string>> {
  if (sessions.length === 0) return new Set();
  return inTransaction(db, async (tx) => {
    const { rows } = await sql<{ id: string }>`
      update devices d set last_seen_at = ${at}
      from unnest(${sessions.map((s) => s.device)}::text[], ${sessions.map((s) => s.sessionEpoch)}::bigint[]) b (id, session_epoch)
      where d.id = b.id and d.session_epoch = b.session_epoch and d.state <> 'revoked'
      returning d.id
    `.execute(tx);
    return new Set(rows.map((row) => row.id));
  });
}
