import type { Capabilities } from '#actors/contract/agent-link.ts';
import type { DeviceLedger } from '#actors/contract/cluster-report.ts';
import type { Fence } from '#actors/contract/primitives.ts';
import type { Vitals } from '#actors/contract/vitals.ts';
import type { DeviceReason } from '#actors/contract/why-pending.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { JobRow } from '#actors/store/store.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** Which session speaks: what an older one of the same device says changes nothing. */
export interface SessionOf {
  readonly device: string;
  readonly sessionEpoch: number;
}

/** What keeps the pending shards of a job from being placed. */
export interface Blocks {
  /** Connected devices by reason. */
  readonly reasons: ReadonlyMap<DeviceReason, number>;
  /** Devices that could take one this moment. */
  readonly eligible: number;
  readonly connected: readonly string[];
  readonly overQuota: boolean;
}

/**
 * Matches pending shards to free slots. Devices say ahead what they have, so placement asks nobody while a transaction is
 * open; what its leases take it counts itself.
 */
export const PlacementProtocol = protocol('placement', {
  /** A session begins; a higher session epoch replaces the one before. `held` came back with it and takes room. */
  session: tell<
    SessionOf & {
      ref: DeviceRef;
      capabilities: Capabilities;
      vitals: Vitals;
      draining: boolean;
      held: readonly { fence: Fence; job: string }[];
    }
  >(),
  withdraw: tell<SessionOf>(),
  /** An attempt has left its device; how it ended counts for the device's next work of this app. */
  freed: tell<SessionOf & { fence: Fence; outcome: 'accepted' | 'failed' | 'none' }>(),
  /** A beat. */
  condition: tell<SessionOf & { vitals: Vitals | null; load: number; memoryFreeBytes: number }>(),
  /** While on, it gets nothing new. */
  hold: tell<SessionOf & { why: 'draining' | 'suspended'; on: boolean }>(),
  /** A job runs; said again after a restart of its actor. */
  open: tell<Pick<JobRow, 'id' | 'tenant' | 'spec' | 'submittedAt'>>(),
  closed: tell<string>(),
  /** A shard of this job may want an attempt. */
  wake: tell<string>(),
  /** Weights or quotas of tenants were changed. */
  policiesChanged: tell(),
  /** What the connected devices have, and what is taken of it. */
  ledgers: ask<void, readonly DeviceLedger[]>(),
  /** Null: the job is not open here. `barred` are devices that may not run the shard that is asked about. */
  blocks: ask<{ job: string; barred: readonly string[] }, Blocks | null>(),
});
export type PlacementRef = Ref<typeof PlacementProtocol>;
