import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { PromptChain } from '#actors/generation/prompt-chain.ts';
import type { ModelRow, StoredModelRow } from '#actors/store/store.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** A connected device that can serve models. */
export interface ServingDevice {
  readonly device: string;
  readonly name: string;
  readonly ref: DeviceRef;
  /** Of GPUs when it has some, else of the machine. A claim, as all that a device says of itself. */
  readonly memoryBytes: number;
  /** Generations at once of a model that it is given. */
  readonly capacity: number;
}

export interface ReplicaReport {
  readonly device: string;
  readonly state: 'offered' | 'downloading' | 'loading' | 'ready' | 'failed';
  readonly memoryBytes: number;
  readonly active: number;
}

/** Who wants a replica: a generation, for a key, not on these devices. */
export interface Acquirer {
  readonly owner: GenerationRef;
  readonly key: string;
  readonly exclude: readonly string[];
  /** How its prompt begins: a replica that knows the beginning is better. */
  readonly prompt?: PromptChain | undefined;
  /** Pools of the same model on other coordinators, asked in turn when this one has no replica to give. */
  readonly elsewhere?: readonly ModelPoolRef[];
  /** It is not worth loading the model anywhere for it. */
  readonly readyOnly?: boolean;
}

export interface PoolReport {
  readonly model: ModelRow;
  readonly stored: StoredModelRow | null;
  /** Names of connected devices that would have the memory; only for stored models, whose need is known. */
  readonly fitsOn: readonly string[];
  readonly needsBytes: number | null;
  readonly replicas: ReplicaReport[];
}

/** One model: its replicas, their memory, and which replica a generation gets. */
export const ModelPoolProtocol = protocol('model-pool', {
  /** `capacity`: generations at once. */
  offered: tell<{ device: string; ref: DeviceRef; capacity: number }>(),
  /** The device takes nothing new (or does again); what runs there goes elsewhere. */
  draining: tell<{ device: string; on: boolean }>(),
  /** Its battery, its heat or its owner ask for quiet: it serves when nobody else can. */
  avoid: tell<{ device: string; on: boolean }>(),
  state: tell<{
    device: string;
    state: 'downloading' | 'loading' | 'ready' | 'unloaded' | 'failed';
    memoryBytes: number;
    reason?: string;
  }>(),
  /** From a device whose memory another model needs: unloads there, unless it is busy. */
  makeRoom: tell<string>(),
  /** Wants a replica to generate on; loads one when none is ready. Answered by `replica` or `noReplica`. */
  acquire: tell<Acquirer>(),
  /** It runs there since before this coordinator: it holds a slot. */
  adopt: tell<{ device: string; ref: DeviceRef; owner: GenerationRef; key: string }>(),
  /** Does not want one any more. */
  abandon: tell<GenerationRef>(),
  /** From itself: the generation is over, and has said all that it had to say. */
  gone: tell<GenerationRef>(),
  /** `tokens` are charged to the key; `unused`: it was not taken after all. */
  release: tell<{ device: string; owner: GenerationRef; tokens: number; unused?: boolean }>(),
  /** Something was learned about devices that serve it. */
  judged: tell(),
  /** The grid keeps the file: devices that do not have it can be given it. Null: it does not any more. */
  stored: tell<StoredModelRow | null>(),
  /** From people: one more replica, on this device or on the best one. */
  load: ask<{ device: string | undefined }>(),
  /** From people: no replica on this device, or none at all. What generates there goes on elsewhere or ends. */
  unload: ask<{ device: string | undefined }>(),
  report: ask<void, PoolReport>(),
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
  /** It can serve models that it does not offer, when the grid has their files. */
  serving: tell<ServingDevice>(),
  stored: tell<StoredModelRow>(),
  removed: tell<string>(),
  find: ask<string, FoundModel | null>(),
  /** All names that `find` knows, in order. */
  names: ask<void, readonly FoundModel[]>(),
  list: ask<void, PoolReport[]>(),
});
export type ModelsRef = Ref<typeof ModelsProtocol>;
