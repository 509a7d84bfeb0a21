import type { Scene, ShardUnderChange } from '../shard-rules.ts';
import { newStanding, type StandingUnderChange } from '../standing-rules.ts';
import type { Change, StandingRow, Store } from '../store.ts';
import type { MemoryAudit, Tables } from './tables.ts';
import type { Connection, Transaction } from './transaction.ts';

const nameOf = (app: string, device: string): string => `${app} ${device}`;

export function standingVerbs(connection: Connection, tables: Tables): Pick<Store, 'standings' | 'pardon' | 'auditsOf'> {
  return {
    standings: (of) =>
      connection.read('standings', () =>
        [...tables.standings.values()]
          .filter((row) => ('app' in of ? row.app === of.app : row.device === of.device))
          .map((row): StandingRow => ({ ...row }))
          .sort((a, b) => (nameOf(a.app, a.device) < nameOf(b.app, b.device) ? -1 : 1)),
      ),
    pardon: (device, app, at) =>
      connection.transaction('pardon', async (tx) => {
        await tx.statement();
        await tx.lock('standing', [nameOf(app, device)], 'no key update');
        const standing = tables.standings.get(nameOf(app, device));
        if (standing === undefined || standing.quarantine === null) return false;
        tx.set(standing, newStanding(device, app, at));
        return true;
      }),
    auditsOf: (id) =>
      connection.read('auditsOf', () =>
        (tables.jobs.get(id)?.shards ?? [])
          .flatMap((shard) => tables.audits.get(shard.id) ?? [])
          .map((audit) => ({ ...audit }))
          .sort((a, b) => a.openedAt - b.openedAt || a.index - b.index),
      ),
  };
}

/** Standings that a batch of changes may teach something, locked; what happens to them appears with `write`. */
export async function lockStandings(
  tx: Transaction,
  tables: Tables,
  changes: readonly Change[],
): Promise<{ standing: Scene['standing']; write(): void }> {
  const wanted = new Map<string, StandingUnderChange>();
  for (const change of changes) {
    if (change.type !== 'vote' || change.lessons === undefined) continue;
    const { app, learned } = change.lessons;
    for (const { device } of learned) wanted.set(nameOf(app, device), newStanding(device, app, change.vote.at));
  }
  const copies = new Map<string, StandingUnderChange>();
  if (wanted.size > 0) {
    await tx.statement();
    await tx.lock('standing', [...wanted.keys()].sort(), 'no key update');
    // As on PostgreSQL those that do not exist are made, whether or not they are taught anything then.
    for (const [name, made] of wanted) if (!tables.standings.has(name)) copies.set(name, made);
  }
  return {
    standing: (device, app, at) => {
      const name = nameOf(app, device);
      let copy = copies.get(name);
      if (copy === undefined) {
        const row = tables.standings.get(name);
        copies.set(name, (copy = row === undefined ? newStanding(device, app, at) : { ...row }));
      }
      return copy;
    },
    write() {
      for (const [name, copy] of copies) {
        const row = tables.standings.get(name);
        if (row === undefined) tx.put(tables.standings, name, copy);
        else tx.set(row, copy);
      }
    },
  };
}

/** Audits of a batch: opened ones are added, the open one of a shard is closed. */
export function auditsUnderChange(tx: Transaction, tables: Tables): Scene['audit'] {
  const opened = new Map<number, MemoryAudit>();
  return (shard: ShardUnderChange, change) => {
    let ofShard = tables.audits.get(shard.id);
    if (ofShard === undefined) tables.audits.set(shard.id, (ofShard = []));
    if ('opened' in change) {
      const audit = { job: shard.job, index: shard.index, reason: change.opened, openedAt: change.at, wrong: null };
      opened.set(shard.id, audit);
      tx.append(ofShard, audit);
      return;
    }
    const open = opened.get(shard.id) ?? ofShard.findLast((row) => row.wrong === null);
    if (open !== undefined) tx.set(open, { wrong: [...new Set(change.wrong)] });
  };
}
