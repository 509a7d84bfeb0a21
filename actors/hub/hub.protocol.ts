import type { AddModel, PullModel, PullReport } from '#actors/contract/models.ts';
import type { StoredModelRow } from '#actors/store/store.ts';
import { ask, protocol } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** The grid's own model files: fetched from outside once, checked, kept in the object store, known by name. */
export const HubProtocol = protocol('hub', {
  /** Starts a download, or answers the one that is under way for this name. */
  pull: ask<PullModel, PullReport>(),
  pulls: ask<void, PullReport[]>(),
  /** Takes a file that was uploaded to the object store. */
  add: ask<AddModel, StoredModelRow>(),
  /** False when there is no such model. Devices that have the file keep it until they need the room. */
  remove: ask<string, boolean>(),
});
export type HubRef = Ref<typeof HubProtocol>;
