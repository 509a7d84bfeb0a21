import type { FromAgent } from '#actors/contract/agent-link.ts';
import type { GenerationRequest } from '#actors/contract/generation.ts';
import { DeviceProtocol, type DeviceRef } from '#actors/device/device.protocol.ts';
import { generationActor, type GenerationArgs, type GenerationResult } from '#actors/generation/generation.actor.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import { usageActor } from '#actors/generation/usage.actor.ts';
import { modelPoolActor } from '#actors/model-pool/model-pool.actor.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { Services } from '#actors/services.ts';
import { createMemoryStore } from '#actors/store/memory/memory-store.ts';
import { defineActor, type Handlers } from '#runtime/kernel/actor.ts';
import type { Stage } from '#tests/support/actors.ts';
import { logRecord } from '#tests/support/log-record.ts';

/** Generations in virtual time: real pool, queue and usage, and devices whose engine a test holds in its hand. */

const MODEL = { name: 'm', sha256: 'a'.repeat(64), size: 1, contextSize: 512 };
export const REQUEST: GenerationRequest = { prompt: 'x', sampling: { maxTokens: 6, temperature: 0, topP: 1, seed: 1, stop: [] } };
export const ANSWER = ['one', ' two', ' three', ' four', ' five', ' six'];
/** One answer is asked of the pool; its tokens are 100, 101, … whoever computes them. */
export const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

export type End = Omit<Extract<FromAgent, { type: 'generationEnded' }>, 'type' | 'generation'>;

/** A device whose engine a test holds in its hand. */
export interface HeldDevice {
  readonly name: string;
  readonly ref: DeviceRef;
  readonly asked: { generation: string; request: GenerationRequest; owner: GenerationRef }[];
  readonly cancelled: string[];
  /** Emits the next tokens of the newest generation, from where it was asked to go on. */
  emit(count: number): void;
  end(end?: Partial<End>): void;
}

export function heldDevice(stage: Stage, name: string): HeldDevice {
  const asked: HeldDevice['asked'] = [];
  const cancelled: string[] = [];
  let at = 0;
  const nothing = (): void => {};
  const definition = defineActor({
    protocol: DeviceProtocol,
    start() {
      const handlers = Object.fromEntries(DeviceProtocol.kinds.map((kind) => [kind, nothing])) as unknown as Handlers<
        typeof DeviceProtocol
      >;
      return {
        ...handlers,
        loadModel: ({ pool }) => void pool.state({ device: name, state: 'ready', memoryBytes: 1 }),
        generate(message) {
          asked.push(message);
          at = message.request.resume?.tokens.length ?? 0;
        },
        cancelGeneration: (generation) => void cancelled.push(generation),
      };
    },
  });
  const ref = stage.system.spawn({ id: `device-${name}`, actor: definition, restart: 'temporary', args: undefined });
  return {
    name,
    ref,
    asked,
    cancelled,
    emit(count) {
      const newest = asked.at(-1);
      const tokens = Array.from({ length: count }, (_, i) => 100 + at + i);
      const text = ANSWER.slice(at, at + count).join('');
      newest?.owner.tokens({ generation: newest.generation, from: at, tokens, text });
      at += count;
    },
    end(end = {}) {
      const newest = asked.at(-1);
      const all = { outcome: 'length', promptTokens: 3, completionTokens: at, retryable: false, ...end } as const;
      newest?.owner.ended({ generation: newest.generation, ...all });
    },
  };
}

export interface Seen {
  readonly ref: GenerationRef;
  text: string;
  readonly devices: string[];
  result: GenerationResult | string | null;
}

export interface Play {
  readonly pool: ModelPoolRef;
  readonly store: ReturnType<typeof createMemoryStore>;
  readonly usage: () => Promise<{ requests: number; completionTokens: number }>;
  readonly ask: (n: number, key?: string, limits?: GenerationArgs['limits']) => Seen;
}

export async function setUp(stage: Stage, devices: readonly HeldDevice[], capacity = 4): Promise<Play> {
  const store = createMemoryStore();
  const services = { store, log: logRecord() } as unknown as Services; // neither actor asks for more of them
  const pool = stage.system.spawn({
    id: 'pool',
    actor: modelPoolActor,
    restart: 'permanent',
    args: { services, model: MODEL, stored: null, serving: new Map() },
  });
  const usageLog = stage.system.spawn({ id: 'usage', actor: usageActor, restart: 'permanent', args: { services } });
  for (const { name, ref } of devices) {
    pool.offered({ device: name, ref, capacity });
    pool.state({ device: name, state: 'ready', memoryBytes: 1 });
  }
  await stage.host.settle();
  return {
    pool,
    store,
    async usage() {
      await stage.host.advance(1_000);
      const [sum] = await store.usageSums({ tenant: null, apiKey: null, from: 0, to: Number.MAX_SAFE_INTEGER });
      return { requests: sum?.requests ?? 0, completionTokens: sum?.completionTokens ?? 0 };
    },
    ask(n, key = 'key', limits = {}) {
      let attempts = 0;
      const seen: { -readonly [K in keyof Seen]: Seen[K] } = { ref: null as unknown as GenerationRef, text: '', devices: [], result: null };
      seen.ref = stage.system.spawn({
        id: `generation-${n}`,
        actor: generationActor,
        restart: 'temporary',
        args: {
          services, usageLog, answers: null, modelFile: MODEL.sha256, pool, limits, generation: uuid(n), model: 'm', work: { request: REQUEST }, usage: { tenant: 't', apiKey: key },
          attemptId: () => uuid(n * 1_000 + ++attempts),
          sink: {
            started: (device) => seen.devices.push(device),
            text: (text) => (seen.text += text),
            ended: (result) => (seen.result = result),
            failed: (error) => (seen.result = `failed: ${error.code} ${error.message}`),
            refused: ({ code }) => (seen.result = `refused: ${code}`),
          },
        },
      }); // prettier-ignore
      return seen;
    },
  };
}

export const WHOLE = ANSWER.join('');
export const LOST: Partial<End> = { outcome: 'failed', code: 'DEVICE_LOST', reason: 'the device was lost', retryable: true };
