import type { DeviceRef } from '#actors/device/device.protocol.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/**
 * Matches pending shards to free slots. Slots are credits that DeviceActors grant ahead, so placement asks nobody
 * while a transaction is open.
 */
export const PlacementProtocol = protocol('placement', {
  /** More slots of a session. A higher session epoch replaces all that was granted before. */
  grant: tell<{ device: string; sessionEpoch: number; ref: DeviceRef; slots: number }>(),
  withdraw: tell<{ device: string; sessionEpoch: number }>(),
  /** There may be shards to place. */
  wake: tell(),
});
export type PlacementRef = Ref<typeof PlacementProtocol>;
