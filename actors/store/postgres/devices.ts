import { sql } from 'kysely';

import type { DeviceState } from '#actors/contract/job-states.ts';
import type { DeviceRow } from '../store.ts';
import { DEVICE_COLUMNS, type DeviceRecord, deviceRow } from './rows.ts';
import type { Database } from './transaction.ts';

export async function findDevice(db: Database, id: string): Promise<DeviceRow | null> {
  const { rows } = await sql<DeviceRecord>`select ${DEVICE_COLUMNS} from devices d where d.id = ${id}`.execute(db);
  return rows[0] ? deviceRow(rows[0]) : null;
}

export async function listDevices(db: Database): Promise<readonly DeviceRow[]> {
  const { rows } = await sql<DeviceRecord>`select ${DEVICE_COLUMNS} from devices d order by d.enrolled_at, d.id`.execute(db);
  return rows.map(deviceRow);
}

export interface DeviceStateChange {
  readonly device: string;
  /** The session that says so, or null for administration. */
  readonly sessionEpoch: number | null;
  readonly state: DeviceState;
  readonly at: number;
}

/** A session may move its own device only, and never one that was revoked. */
export async function setDeviceState(db: Database, { device, sessionEpoch, state, at }: DeviceStateChange): Promise<boolean> {
  const { rows } = await sql`
    update devices set state = ${state}, state_at = ${at}
    where id = ${device}
      and (${sessionEpoch}::bigint is null or (session_epoch = ${sessionEpoch}::bigint and state <> 'revoked'))
    returning id
  `.execute(db);
  return rows.length === 1;
}
