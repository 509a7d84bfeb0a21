import { OPEN_SHARD_STATES, VOTING_ATTEMPT_STATES } from '../shard-rules.ts';
import { storableText } from '../storable-text.ts';
import type { DeviceRow, Store } from '../store.ts';
import type { Tables } from './tables.ts';

type Devices = Pick<Store, 'enrol' | 'findDevice' | 'listDevices' | 'openSession' | 'beat' | 'setDeviceState'>;

export function deviceVerbs(tables: Tables): Devices {
  function update(row: DeviceRow, changes: Partial<DeviceRow>): DeviceRow {
    const device = tables.devices.get(row.id);
    if (!device) throw new Error(`Device ${row.id} was there a moment ago.`);
    device.row = { ...row, ...changes };
    return device.row;
  }

  return {
    enrol: async (tokenHash, device, at) => {
      const token = tables.tokens.get(tokenHash);
      if (!token) return null;
      const known = [...tables.devices.values()].find(({ row }) => row.publicKey === device.publicKey);
      if (known?.row.state === 'revoked') return null;
      if (known?.enrolledWith === tokenHash) return { ...known.row };
      if (token.usesLeft === 0 || token.expiresAt <= at) return null;
      if (!known && tables.devices.has(device.id)) throw new Error(`Device ${device.id} is there already, with another key.`);
      token.usesLeft -= 1;
      if (known) return { ...known.row };
      const row: DeviceRow = {
        ...device,
        name: storableText(device.name),
        state: 'enrolled',
        sessionEpoch: 0,
        capabilities: null,
        lastSeenAt: null,
        enrolledAt: at,
      };
      tables.devices.set(row.id, { row, enrolledWith: tokenHash });
      return { ...row };
    },
    findDevice: async (id) => {
      const device = tables.devices.get(id);
      return device ? { ...device.row } : null;
    },
    listDevices: async () =>
      [...tables.devices.values()].map(({ row }) => ({ ...row })).sort((a, b) => a.enrolledAt - b.enrolledAt || (a.id < b.id ? -1 : 1)),
    openSession: async (id, capabilities, at) => {
      const row = tables.devices.get(id)?.row;
      if (!row || row.state === 'revoked') return null;
      const sessionEpoch = row.sessionEpoch + 1;
      const state = row.state === 'draining' ? 'draining' : 'present';
      const device = update(row, { sessionEpoch, state, capabilities: structuredClone(capabilities), lastSeenAt: at });
      const attempts = [...tables.attempts.values()].filter((attempt) => {
        const shard = tables.shards.get(attempt.shardId);
        return attempt.device === id && VOTING_ATTEMPT_STATES.includes(attempt.state) && shard && OPEN_SHARD_STATES.includes(shard.state);
      });
      return { sessionEpoch, device: { ...device }, attempts: attempts.map((attempt) => ({ ...attempt })) };
    },
    beat: async (sessions, at) => {
      const renewed = new Set<string>();
      for (const { device, sessionEpoch } of sessions) {
        const row = tables.devices.get(device)?.row;
        if (!row || row.sessionEpoch !== sessionEpoch || row.state === 'revoked') continue;
        update(row, { lastSeenAt: at });
        renewed.add(device);
      }
      return renewed;
    },
    setDeviceState: async (device, sessionEpoch, state) => {
      const row = tables.devices.get(device)?.row;
      if (!row) return false;
      if (sessionEpoch !== null && (row.sessionEpoch !== sessionEpoch || row.state === 'revoked')) return false;
      update(row, { state });
      return true;
    },
  };
}
