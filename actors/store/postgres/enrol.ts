import { sql } from 'kysely';

import { storableText } from '../storable-text.ts';
import type { DeviceRow } from '../store.ts';
import { DEVICE_COLUMNS, type DeviceRecord, deviceRow } from './rows.ts';
import { type Database, inTransaction, type Tx } from './transaction.ts';

export interface NewDevice {
  readonly id: string;
  readonly name: string;
  readonly publicKey: string;
}

/**
 * Spends one use of the token and enrols the device, both or neither.
 *
 * A machine that lost our answer asks again with the same key. It gets the device that it already is: without spending
 * anything when it comes with the token that let it in, for one use of any other token. A revoked device stays out.
 */
export async function enrol(db: Database, tokenHash: string, device: NewDevice, at: number): Promise<DeviceRow | null> {
  return inTransaction(db, async (tx) => {
    // Locks the token first, valid or not: two requests with one key cannot both find no device.
    const token = await lockToken(tx, tokenHash);
    if (!token) return null;
    const known = await findByKey(tx, device.publicKey);
    if (known?.state === 'revoked' || (await isFormer(tx, device.publicKey))) return null;
    if (known?.enrolled_with === tokenHash) return deviceRow(known);
    if (token.uses_left === 0 || token.expires_at <= at) return null;
    await sql`update enrolment_tokens set uses_left = uses_left - 1 where hash = ${tokenHash}`.execute(tx);
    return known ? deviceRow(known) : insertDevice(tx, { hash: tokenHash, ...token }, device, at);
  });
}

interface Token {
  uses_left: number;
  expires_at: number;
  principal: string;
  trusted: boolean;
}

async function lockToken(tx: Tx, hash: string): Promise<Token | undefined> {
  const { rows } = await sql<Token>`
    select uses_left, expires_at, principal, trusted from enrolment_tokens where hash = ${hash} for update
  `.execute(tx);
  return rows[0];
}

/** A key that was replaced may be in other hands: nobody joins with it again. */
async function isFormer(tx: Tx, publicKey: string): Promise<boolean> {
  const { rows } = await sql`select 1 from former_keys where public_key = ${publicKey}`.execute(tx);
  return rows.length > 0;
}

async function findByKey(tx: Tx, publicKey: string): Promise<(DeviceRecord & { enrolled_with: string }) | undefined> {
  const { rows } = await sql<DeviceRecord & { enrolled_with: string }>`
    select ${DEVICE_COLUMNS}, d.enrolled_with from devices d where d.public_key = ${publicKey} for update
  `.execute(tx);
  return rows[0];
}

async function insertDevice(tx: Tx, token: Token & { hash: string }, device: NewDevice, at: number): Promise<DeviceRow> {
  const { rows } = await sql<DeviceRecord>`
    insert into devices as d (id, name, public_key, state, state_at, enrolled_at, enrolled_with, principal, trusted)
    values (${device.id}, ${storableText(device.name)}, ${device.publicKey}, 'enrolled', ${at}, ${at}, ${token.hash},
      ${token.principal}, ${token.trusted})
    returning ${DEVICE_COLUMNS}
  `.execute(tx);
  const [record] = rows;
  if (!record) throw new Error('An insert answered no row.');
  return deviceRow(record);
}
