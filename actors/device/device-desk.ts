import type { DeviceSummary, DeviceTrust } from '#actors/contract/live.ts';
import type { PlacementRef } from '#actors/placement/placement.protocol.ts';
import type { Store, DeviceRow } from '#actors/store/store.ts';
import { GridError } from '#runtime/errors.ts';
import type { Clock } from '#runtime/kernel/host.ts';

import { clusterReport } from './cluster-report.ts';
import { GRACE_SECONDS } from './draining.ts';
import type { DeviceRef } from './device.protocol.ts';
import { deviceSummary } from './device-view.ts';
import type { DeviceDesk, DevicesRef } from './devices.protocol.ts';

const ASK = { timeoutMs: 5_000 };

export interface DeviceDeskArgs {
  readonly store: Store;
  readonly devices: DevicesRef;
  readonly placement: PlacementRef;
  readonly clock: Clock;
}

/** Answers for every device that is enrolled, connected or not. */
export function createDeviceDesk({ store, devices, placement, clock }: DeviceDeskArgs): DeviceDesk {
  async function rowOf(id: string): Promise<DeviceRow> {
    const row = await store.findDevice(id);
    if (row === null) throw new GridError('NOT_FOUND', `no device ${id}`, { fix: '`corpgrid devices` lists them' });
    return row;
  }

  async function summaryOf(row: DeviceRow, ref: DeviceRef | null | undefined): Promise<DeviceSummary> {
    // A session may end between the question and its answer: the row then has the last word.
    const answer = await ref?.summary(undefined, ASK).catch(() => null);
    return answer ? { ...answer, lastSeenAt: row.lastSeenAt } : deviceSummary(row);
  }

  async function find(id: string): Promise<DeviceSummary> {
    const row = await rowOf(id);
    return summaryOf(row, await devices.find(id, ASK));
  }

  async function trust(id: string): Promise<DeviceTrust> {
    const { principal, trusted } = await rowOf(id);
    const standings = await store.standings({ device: id });
    const apps = standings.map(({ app, a, b, results, strikes, quarantine, updatedAt }) => {
      return { app, belief: a / (a + b), results, strikes, quarantine, updatedAt };
    });
    return { device: id, principal, trusted, apps };
  }

  return {
    find,
    trust,
    async pardon(id, app) {
      await rowOf(id);
      if (!(await store.pardon(id, app, clock.wall()))) {
        throw new GridError('CONFLICT', `${id} is not in quarantine for app ${app}`, {
          fix: '`corpgrid devices ID` shows its quarantines',
        });
      }
      return trust(id);
    },
    async list() {
      const [rows, live] = await Promise.all([store.listDevices(), devices.live(undefined, ASK)]);
      return Promise.all(rows.map((row) => summaryOf(row, live.get(row.id))));
    },
    async cluster() {
      const [rows, ledgers] = await Promise.all([store.listDevices(), placement.ledgers(undefined, ASK)]);
      return clusterReport(rows, ledgers);
    },
    async drain(id, on, graceSeconds = GRACE_SECONDS) {
      const row = await rowOf(id);
      if (row.state === 'revoked') throw new GridError('CONFLICT', `${id} is revoked`, { fix: 'enrol the machine anew' });
      const ref = await devices.find(id, ASK);
      if (ref === null) throw new GridError('CONFLICT', `${id} is not connected: there is nothing to drain`);
      await store.setDeviceState(id, null, on ? 'draining' : 'present', clock.wall());
      ref.drain({ on, graceSeconds });
      return find(id);
    },
    async revoke(id) {
      await rowOf(id);
      await store.setDeviceState(id, null, 'revoked', clock.wall());
      (await devices.find(id, ASK))?.revoke();
      return find(id);
    },
  };
}
