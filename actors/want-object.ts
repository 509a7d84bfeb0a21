import type { Store } from '#actors/store/store.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import type { ObjectRef, Objects } from '#runtime/objects/objects.ts';

interface Places {
  readonly store: Pick<Store, 'recordObjects'>;
  readonly objects: Objects;
}

/**
 * What the store has under this name, or null; from now on the sweep leaves it alone for two days, in which whoever asks makes
 * something durable refer to it. The row comes first, then the look: see `store/keeping.ts`.
 */
export async function wantObject({ store, objects }: Places, ref: ObjectRef, at: number): Promise<ObjectRef | null> {
  await store.recordObjects([ref], at);
  return objects.head(ref.sha256);
}

/** Stores bytes that somebody wants. */
export async function keepBytes({ store, objects }: Places, bytes: Uint8Array, at: number): Promise<ObjectRef> {
  const ref = { sha256: sha256Hex(bytes), size: bytes.length };
  await store.recordObjects([ref], at);
  return objects.put(bytes, ref);
}
