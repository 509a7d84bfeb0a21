import type { UsageRow } from '#actors/store/store.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** What generations used, written to the store in groups. */
export const UsageProtocol = protocol('usage', {
  record: tell<UsageRow>(),
  /** Resolves when everything recorded before is in the store. */
  flush: ask(),
});
export type UsageRef = Ref<typeof UsageProtocol>;
