import type { DeviceSummary } from '#actors/contract/live.ts';
import type { DeviceRow } from '#actors/store/store.ts';
import { fingerprint } from '#runtime/identity/digest.ts';

/** What only a live session knows. */
export interface SessionView {
  readonly running: number;
  readonly load: number | null;
  readonly models: DeviceSummary['models'];
  readonly drained: boolean;
}

const ABSENT: SessionView = { running: 0, load: null, models: [], drained: false };

/** What people see of a device. Unknown is null, never 0. */
export function deviceSummary(row: DeviceRow, session: SessionView = ABSENT): DeviceSummary {
  const c = row.capabilities;
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    ...(session.drained ? { drained: true } : {}),
    fingerprint: fingerprint(row.publicKey),
    os: c?.os ?? null,
    arch: c?.arch ?? null,
    cores: c?.cores ?? null,
    memoryBytes: c?.memoryBytes ?? null,
    slots: c?.slots ?? null,
    running: session.running,
    load: session.load,
    models: session.models,
    agentVersion: c?.agentVersion ?? null,
    lastSeenAt: row.lastSeenAt,
    enrolledAt: row.enrolledAt,
  };
}
