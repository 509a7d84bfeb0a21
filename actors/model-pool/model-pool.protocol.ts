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

/** One model: its replicas, their memory, and which replica a generation gets. */
export const ModelPoolProtocol = protocol('model-pool', {
  offered: tell<{ device: string; ref: DeviceRef }>(),
  state: tell<{ device: string; state: 'loading' | 'ready' | 'unloaded' | 'failed'; memoryBytes: number; reason?: string }>(),
  /** Wants a replica to generate on; loads one when none is ready. Answered by `replica` or `noReplica`. */
  acquire: tell<GenerationRef>(),
  release: tell<{ device: string }>(),
  report: ask<void, { model: ModelRow; replicas: ReplicaReport[] }>(),
});
// An interface, because refs of actors that know each other may name each other only lazily.
export interface ModelPoolRef extends Ref<typeof ModelPoolProtocol> {}

/** All models that some device offers. */
export const ModelsProtocol = protocol('models', {
  offered: tell<{ device: string; ref: DeviceRef; models: ModelRow[] }>(),
  find: ask<string, ModelPoolRef | null>(),
  list: ask<void, { model: ModelRow; replicas: ReplicaReport[] }[]>(),
});
export type ModelsRef = Ref<typeof ModelsProtocol>;
