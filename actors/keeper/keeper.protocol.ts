import type { SweepOrder, SweepReport } from '#actors/contract/sweep-report.ts';
import { ask, protocol } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** Keeps house: objects that nobody wants are deleted when it is due, by one coordinator. */
export const KeeperProtocol = protocol('keeper', {
  /** Now, whenever it is due. Refuses with CONFLICT while a sweep is under way. */
  sweep: ask<SweepOrder, SweepReport>(),
});
export type KeeperRef = Ref<typeof KeeperProtocol>;
