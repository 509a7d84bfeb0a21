import { sql } from 'kysely';

import type { FormerKey } from '#actors/contract/former-keys.ts';
import { type Database, inTransaction, type Tx } from './transaction.ts';

export interface KeyChange {
  readonly device: string;
  readonly from: string;
  readonly to: string;
  readonly at: number;
}

/** The session is fenced with it: what the old key proved is over. */
export async function rotateKey(db: Database, { device, from, to, at }: KeyChange): Promise<boolean> {
  return inTransaction(db, async (tx) => {
    await lockLog(tx);
    const { rows } = await sql`
      update devices set public_key = ${to}, session_epoch = session_epoch + 1
      where id = ${device} and public_key = ${from} and state <> 'revoked'
        and not exists (select 1 from devices d where d.public_key = ${to})
        and not exists (select 1 from former_keys f where f.public_key = ${to})
      returning id
    `.execute(tx);
    if (rows.length === 0) return false;
    await endKey(tx, { device, publicKey: from, reason: 'rotated', at });
    return true;
  });
}

/** A device that is revoked twice keeps the moment of the first time. */
export async function revokeDevice(db: Database, device: string, at: number): Promise<boolean> {
  return inTransaction(db, async (tx) => {
    await lockLog(tx);
    const { rows } = await sql<{ public_key: string }>`
      update devices set state = 'revoked', state_at = ${at} where id = ${device} returning public_key
    `.execute(tx);
    const [row] = rows;
    if (row === undefined) return false;
    await endKey(tx, { device, publicKey: row.public_key, reason: 'revoked', at });
    return true;
  });
}

export async function formerKeys(db: Database): Promise<readonly FormerKey[]> {
  const { rows } = await sql<{ device: string; public_key: string; reason: FormerKey['reason']; until_position: number; at: number }>`
    select device, public_key, reason, until_position, at from former_keys order by id
  `.execute(db);
  return rows.map(({ device, public_key: publicKey, reason, until_position: until, at }) => ({ device, publicKey, reason, until, at }));
}

/** No job is sealed between looking where the log stands and having said so. */
async function lockLog(tx: Tx): Promise<void> {
  await sql`lock table manifest_log in share row exclusive mode`.execute(tx);
}

async function endKey(tx: Tx, { device, publicKey, reason, at }: Omit<FormerKey, 'until'>): Promise<void> {
  await sql`
    insert into former_keys (device, public_key, reason, until_position, at)
    select ${device}, ${publicKey}, ${reason}, count(*), ${at} from manifest_log
    on conflict do nothing
  `.execute(tx);
}
