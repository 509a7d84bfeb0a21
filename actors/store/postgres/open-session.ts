import { sql } from 'kysely';

import type { Capabilities } from '#actors/contract/agent-link.ts';
import { OPEN_SHARD_STATES, VOTING_ATTEMPT_STATES } from '../shard-rules.ts';
import type { Session } from '../store.ts';
import { ATTEMPT_COLUMNS, type AttemptRecord, attemptRow, DEVICE_COLUMNS, type DeviceRecord, deviceRow, stateList } from './rows.ts';
import { type Database, inTransaction } from './transaction.ts';

/** A device that was draining when its session ended still drains in the next one. */
export async function openSession(db: Database, device: string, capabilities: Capabilities, at: number): Promise<Session | null> {
  return inTransaction(db, async (tx) => {
    const opened = await sql<DeviceRecord>`
      update devices d set
        session_epoch = session_epoch + 1,
        capabilities = ${JSON.stringify(capabilities)}::json,
        last_seen_at = ${at},
        state_at = ${at},
        state = case when state = 'draining' then 'draining' else 'present' end
      where d.id = ${device} and d.state <> 'revoked'
      returning ${DEVICE_COLUMNS}
    `.execute(tx);
    const [record] = opened.rows;
    if (!record) return null;
    const { rows } = await sql<AttemptRecord>`
      select ${ATTEMPT_COLUMNS} from shard_attempts a join job_shards s on s.id = a.shard_id
      where a.device = ${device} and a.state in (${stateList(VOTING_ATTEMPT_STATES)}) and s.state in (${stateList(OPEN_SHARD_STATES)})
      order by a.seq
    `.execute(tx);
    return { sessionEpoch: record.session_epoch, device: deviceRow(record), attempts: rows.map(attemptRow) };
  });
}
