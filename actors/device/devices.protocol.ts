import type { AgentHello } from '#actors/contract/agent-link.ts';
import type { ClusterReport } from '#actors/contract/cluster-report.ts';
import type { DeviceSummary, DeviceTrust } from '#actors/contract/live.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { HeldSession } from '#actors/device/held-session.ts';
import type { PresenceEntry } from '#runtime/presence/presence.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** The devices of this coordinator: opens a DeviceActor for each agent session. */
export const DevicesProtocol = protocol('devices', {
  opened: tell<{ session: HeldSession; hello: AgentHello }>(),
  /** A live session beat; collected and written in one statement every few seconds. */
  beat: tell<{ device: string; sessionEpoch: number }>(),
  /** From presence: sessions whose lease has run out; the token is the session's epoch. */
  due: tell<readonly PresenceEntry[]>(),
  changed: tell<string>(),
  /** A job was activated: each session says which attempts of it it runs. */
  reportHeld: tell<string>(),
  /** The actor of a job has ended: slots that were leased for it serve others. */
  jobEnded: tell<string>(),
  /** The session of a device that is connected here. */
  find: ask<string, DeviceRef | null>(),
  live: ask<void, ReadonlyMap<string, DeviceRef>>(),
});
export type DevicesRef = Ref<typeof DevicesProtocol>;

/** What people ask of devices. */
export interface DeviceDesk {
  list(): Promise<DeviceSummary[]>;
  find(device: string): Promise<DeviceSummary>;
  /** The connected devices and their sum. */
  cluster(): Promise<ClusterReport>;
  /** What it runs may take so long to end; then it is given to others. */
  drain(device: string, on: boolean, graceSeconds?: number): Promise<DeviceSummary>;
  revoke(device: string): Promise<DeviceSummary>;
  trust(device: string): Promise<DeviceTrust>;
  /** Ends a quarantine; the device starts anew with the app. */
  pardon(device: string, app: string): Promise<DeviceTrust>;
}
