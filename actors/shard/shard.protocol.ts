import type { Fence } from '#actors/contract/primitives.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { AttemptEvent, CheckpointEvent, PlacedLease } from '#actors/job/jobs.protocol.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** Attempts of one shard, from its first lease to its provisional result. */
export const ShardProtocol = protocol('shard', {
  leased: tell<PlacedLease>(),
  /** An attempt from before a restart, whose device came back with it. */
  adopted: tell<{ fence: Fence; device: DeviceRef }>(),
  attempt: tell<AttemptEvent>(),
  /** From a device that runs an attempt of it. */
  checkpoint: tell<CheckpointEvent>(),
  /** The attempt's vote is durable. */
  voted: tell<Fence>(),
  /** The shard needs no attempt any more: what still runs is stopped, and this actor ends. */
  settled: tell<'superseded' | 'cancelled' | 'paused'>(),
});
export type ShardRef = Ref<typeof ShardProtocol>;
