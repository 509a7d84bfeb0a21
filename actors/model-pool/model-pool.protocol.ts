import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { ModelRow } from '#actors/store/store.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

export interface ReplicaReport {
  readonly device: string;
  readonly state: 'offered' | 'loading' | 'ready' | 'failed';
  readonly memoryBytes: number;
  readonly active: number;
}

/** Who wants a replica: a generation, for a key, not on these devices. */
export interface Acquirer {
  readonly owner: GenerationRef;
  readonly key: string;
  readonly exclude: readonly string[];
}

/** One model: its replicas, their memory, and which replica a generation gets. */
export const ModelPoolProtocol = protocol('model-pool', {
  /** `capacity`: generations at once. */
  offered: tell<{ device: string; ref: DeviceRef; capacity: number }>(),
  /** The device takes nothing new (or does again); what runs there goes elsewhere. */
  draining: tell<{ device: string; on: boolean }>(),
  state: tell<{ device: string; state: 'loading' | 'ready' | 'unloaded' | 'failed'; memoryBytes: number; reason?: string }>(),
  /** Wants a replica to generate on; loads one when none is ready. Answered by `replica` or `noReplica`. */
  acquire: tell<Acquirer>(),
  /** Does not want one any more. */
  abandon: tell<GenerationRef>(),
  /** `tokens` are charged to the key; `unused`: it was not taken after all. */
  release: tell<{ device: string; owner: GenerationRef; tokens: number; unused?: boolean }>(),
  report: ask<void, { model: ModelRow; replicas: ReplicaReport[] }>(),
});
// An interface, because refs of actors that know each other may name each other only lazily.
export interface ModelPoolRef extends Ref<typeof ModelPoolProtocol> {}

/** A model that a device offers, and how many generations it runs at once. */
export interface OfferedModel extends ModelRow {
  readonly sequences?: number | undefined;
}

/** A model that can be asked for. */
export interface FoundModel {
  readonly pool: ModelPoolRef;
  readonly model: ModelRow;
  /** Milliseconds since 1970 when the grid first saw this file under this name. */
  readonly createdAt: number;
}

/** All models that some device offers. */
export const ModelsProtocol = protocol('models', {
  offered: tell<{ device: string; ref: DeviceRef; models: OfferedModel[] }>(),
  find: ask<string, FoundModel | null>(),
  /** All names that `find` knows, in order. */
  names: ask<void, readonly FoundModel[]>(),
  list: ask<void, { model: ModelRow; replicas: ReplicaReport[] }[]>(),
});
export type ModelsRef = Ref<typeof ModelsProtocol>;
