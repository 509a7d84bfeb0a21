import { OPEN_SHARD_STATES, VOTING_ATTEMPT_STATES } from '../shard-rules.ts';
import { storableText } from '../storable-text.ts';
import type { DeviceRow, Store } from '../store.ts';
import type { MemoryDevice, Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

type Devices = Pick<Store, 'enrol' | 'findDevice' | 'listDevices' | 'openSession' | 'beat' | 'setDeviceState' | 'rotateKey' | 'formerKeys'>;

export function deviceVerbs(connection: Connection, tables: Tables): Devices {
  return {
    enrol: (tokenHash, device, at) =>
      connection.transaction('enrol', async (tx) => {
        await tx.statement();
        await tx.lock('token', [tokenHash], 'update');
        const token = tables.tokens.get(tokenHash);
        if (!token) return null;
        await tx.statement();
        const known = [...tables.devices.values()].find(({ row }) => row.publicKey === device.publicKey);
        if (known) await tx.lock('device', [known.row.id], 'update');
        if (known?.row.state === 'revoked' || tables.formerKeys.some((key) => key.publicKey === device.publicKey)) return null;
        if (known?.enrolledWith === tokenHash) return { ...known.row };
        if (token.usesLeft === 0 || token.expiresAt <= at) return null;
        await tx.statement();
        tx.set(token, { usesLeft: token.usesLeft - 1 });
        if (known) return { ...known.row };
        await tx.statement();
        await tx.lock('device', [device.id], 'update');
        await tx.lock('device key', [device.publicKey], 'update');
        if (tables.devices.has(device.id)) throw new Error(`Device ${device.id} is there already, with another key.`);
        if ([...tables.devices.values()].some(({ row }) => row.publicKey === device.publicKey))
          throw new Error('duplicate key: a device with this public key is there.');
        const row: DeviceRow = {
          ...device,
          name: storableText(device.name),
          state: 'enrolled',
          sessionEpoch: 0,
          capabilities: null,
          lastSeenAt: null,
          enrolledAt: at,
          principal: token.principal,
          trusted: token.trusted,
        };
        tx.put(tables.devices, row.id, { row, enrolledWith: tokenHash });
        return { ...row };
      }),
    findDevice: (id) =>
      connection.read('findDevice', () => {
        const device = tables.devices.get(id);
        return device ? { ...device.row } : null;
      }),
    listDevices: () =>
      connection.read('listDevices', () =>
        [...tables.devices.values()].map(({ row }) => ({ ...row })).sort((a, b) => a.enrolledAt - b.enrolledAt || (a.id < b.id ? -1 : 1)),
      ),
    openSession: (id, capabilities, at) =>
      connection.transaction('openSession', async (tx) => {
        await tx.statement();
        await tx.lock('device', [id], 'no key update');
        const device = tables.devices.get(id);
        if (!device || device.row.state === 'revoked') return null;
        const row: DeviceRow = {
          ...device.row,
          sessionEpoch: device.row.sessionEpoch + 1,
          state: device.row.state === 'draining' ? 'draining' : 'present',
          capabilities: structuredClone(capabilities),
          lastSeenAt: at,
        };
        tx.set<MemoryDevice>(device, { row });
        await tx.statement();
        const attempts = [...tables.attempts.values()].filter((attempt) => {
          if (attempt.device !== id || !VOTING_ATTEMPT_STATES.includes(attempt.state)) return false;
          const shard = tables.shards.get(attempt.shardId);
          return shard !== undefined && OPEN_SHARD_STATES.includes(shard.state);
        });
        return { sessionEpoch: row.sessionEpoch, device: { ...row }, attempts: attempts.map((attempt) => ({ ...attempt })) };
      }),
    beat: async (sessions, at) => {
      if (sessions.length === 0) return new Set();
      return connection.transaction('beat', async (tx) => {
        await tx.statement();
        const renewed = new Set<string>();
        for (const { device: id, sessionEpoch } of sessions) {
          const known = tables.devices.get(id);
          // Only rows that matched the statement's snapshot are waited for; the condition is looked at again after the wait.
          if (!known || !isCurrent(known, sessionEpoch)) continue;
          await tx.lock('device', [id], 'no key update');
          if (!isCurrent(known, sessionEpoch)) continue;
          tx.set<MemoryDevice>(known, { row: { ...known.row, lastSeenAt: at } });
          renewed.add(id);
        }
        return renewed;
      });
    },
    setDeviceState: (id, sessionEpoch, state, at) =>
      connection.transaction('setDeviceState', async (tx) => {
        const ends = state === 'revoked' && sessionEpoch === null;
        await tx.statement();
        if (ends) await tx.lock('manifest log', ['all'], 'no key update');
        await tx.lock('device', [id], 'no key update');
        const device = tables.devices.get(id);
        if (!device || (sessionEpoch !== null && !isCurrent(device, sessionEpoch))) return false;
        tx.set<MemoryDevice>(device, { row: { ...device.row, state } });
        const { publicKey } = device.row;
        if (!ends || tables.formerKeys.some((key) => key.publicKey === publicKey)) return true;
        tx.append(tables.formerKeys, { device: id, publicKey, reason: 'revoked', until: tables.manifestLog.length, at });
        return true;
      }),
    rotateKey: (id, { from, to }, at) =>
      connection.transaction('rotateKey', async (tx) => {
        await tx.statement();
        await tx.lock('manifest log', ['all'], 'no key update');
        await tx.statement();
        await tx.lock('device', [id], 'update');
        await tx.lock('device key', [to], 'update');
        const device = tables.devices.get(id);
        if (!device || device.row.publicKey !== from || device.row.state === 'revoked') return false;
        const isTaken = [...tables.devices.values()].some(({ row }) => row.publicKey === to);
        if (isTaken || tables.formerKeys.some((key) => key.publicKey === to)) return false;
        tx.set<MemoryDevice>(device, { row: { ...device.row, publicKey: to, sessionEpoch: device.row.sessionEpoch + 1 } });
        tx.append(tables.formerKeys, { device: id, publicKey: from, reason: 'rotated', until: tables.manifestLog.length, at });
        return true;
      }),
    formerKeys: () => connection.read('formerKeys', () => tables.formerKeys.map((key) => ({ ...key }))),
  };
}

function isCurrent({ row }: MemoryDevice, sessionEpoch: number): boolean {
  return row.sessionEpoch === sessionEpoch && row.state !== 'revoked';
}
