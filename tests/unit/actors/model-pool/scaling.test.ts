import { describe, expect, it } from 'vitest';

import { TIMES } from '#actors/model-pool/autoscale.ts';
import { DeviceProtocol } from '#actors/device/device.protocol.ts';
import { GenerationProtocol, type GenerationRef } from '#actors/generation/generation.protocol.ts';
import { modelPoolActor } from '#actors/model-pool/model-pool.actor.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { Services } from '#actors/services.ts';
import { defineActor, type Handlers } from '#runtime/kernel/actor.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';
import { type Stage, withSystem } from '#tests/support/actors.ts';
import { logRecord } from '#tests/support/log-record.ts';

const MODEL = { name: 'm', sha256: 'a'.repeat(64), size: 7, contextSize: 512 };
const DEVICES = ['a', 'b', 'c'];
/** Generations at once of each device, and how long each loads. */
const SLOTS = 4;
const LOAD_MS = 4_000;

function handlersOf<P extends Protocol>(protocol: P, some: Partial<Handlers<P>>): Handlers<P> {
  return { ...Object.fromEntries(protocol.kinds.map((kind) => [kind, () => {}])), ...some } as Handlers<P>;
}

interface Scene {
  readonly pool: ModelPoolRef;
  readonly told: string[];
  /** Starts so many generations; each answers how to end it. */
  readonly ask: (count: number) => GenerationRef[];
  readonly ready: () => Promise<string[]>;
}

/** A pool with devices that load slowly; the last one has no room for the model. */
async function setUp({ system, host }: Stage): Promise<Scene> {
  const told: string[] = [];
  const store = { standings: () => Promise.resolve([]) };
  const services = { log: logRecord(), store } as unknown as Services; // all that a pool of offered models asks for
  const args = { services, model: MODEL, stored: null, serving: new Map() };
  const pool = system.spawn({ id: 'pool', actor: modelPoolActor, restart: 'permanent', args });
  for (const device of DEVICES) {
    const actor = defineActor({
      protocol: DeviceProtocol,
      start: (context) =>
        handlersOf(DeviceProtocol, {
          loadModel() {
            told.push(`load ${device}`);
            if (device === 'c') return void pool.state({ device, state: 'failed', memoryBytes: 0, reason: 'no room' });
            context.after(LOAD_MS, () => void pool.state({ device, state: 'ready', memoryBytes: 6 }));
          },
          unloadModel() {
            told.push(`unload ${device}`);
            pool.state({ device, state: 'unloaded', memoryBytes: 0 });
          },
        }),
    });
    pool.offered({ device, ref: system.spawn({ id: device, actor, restart: 'temporary', args: undefined }), capacity: SLOTS });
  }
  let ids = 0;
  function ask(count: number): GenerationRef[] {
    return Array.from({ length: count }, () => {
      const generation = defineActor({
        protocol: GenerationProtocol,
        start(context) {
          let at: string | null = null;
          return handlersOf(GenerationProtocol, {
            replica: ({ device }) => void (at = device),
            cancel() {
              if (at === null) pool.abandon(context.self);
              else pool.release({ device: at, owner: context.self, tokens: 1 });
              context.stop();
            },
          });
        },
      });
      const owner = system.spawn({ id: `g-${++ids}`, actor: generation, restart: 'temporary', args: undefined });
      pool.acquire({ owner, key: 'key', exclude: [] });
      return owner;
    });
  }
  await host.settle();
  const ready = async (): Promise<string[]> => {
    const report = pool.report(undefined, { timeoutMs: 1_000 });
    await host.settle();
    return (await report).replicas.filter(({ state }) => state === 'ready').map(({ device }) => device);
  };
  return { pool, told, ask, ready };
}

describe('replicas of a model', () => {
  it('become more while a queue stands, where there is room, and one less after a long calm', async () => {
    await withSystem(async (stage) => {
      const { told, ask, ready } = await setUp(stage);
      const generations = ask(3 * SLOTS + 1);
      await stage.host.advance(LOAD_MS + 100);
      expect(await ready()).toEqual(['a']);
      await stage.host.advance(TIMES.growAfterMs + TIMES.waitMs);
      expect(told).toEqual(['load a', 'load b']);
      await stage.host.advance(LOAD_MS + TIMES.growAfterMs + TIMES.waitMs);
      // The third has no room; the queue waits on, and nobody is the worse for it.
      expect(await ready()).toEqual(['a', 'b']);
      expect(told).toEqual(['load a', 'load b', 'load c']);

      for (const generation of generations) generation.cancel();
      await stage.host.advance(TIMES.shrinkAfterMs - 10_000);
      expect(await ready()).toEqual(['a', 'b']);
      await stage.host.advance(15_000);
      expect(await ready()).toHaveLength(1);
      await stage.host.advance(2 * TIMES.shrinkAfterMs);
      expect(await ready()).toHaveLength(1);
    });
  });

  it('that are too many go only when nothing runs on them', async () => {
    await withSystem(async (stage) => {
      const { told, ask, ready } = await setUp(stage);
      const generations = ask(2 * SLOTS + 1);
      await stage.host.advance(2 * LOAD_MS + 2 * (TIMES.growAfterMs + TIMES.waitMs));
      expect(await ready()).toEqual(['a', 'b']);
      // The first began on a, the others when b was there.
      const [ofA, ofB] = [generations[0], generations[SLOTS + 1]];
      for (const generation of generations) if (generation !== ofA && generation !== ofB) generation.cancel();
      await stage.host.advance(TIMES.shrinkAfterMs + 10_000);
      expect(told.filter((word) => word.startsWith('unload'))).toEqual([]);
      // What comes now goes to the one that stays, so that the other can go.
      const [newer] = ask(1);
      await stage.host.advance(10);
      ofB?.cancel();
      await stage.host.advance(10);
      expect(told.filter((word) => word.startsWith('unload'))).toEqual(['unload b']);
      expect(await ready()).toEqual(['a']);
      ofA?.cancel();
      newer?.cancel();
      await stage.host.advance(2 * TIMES.shrinkAfterMs);
      expect(await ready()).toEqual(['a']);
    });
  });

  it('are not changed by bursts that are over before a load would be', async () => {
    await withSystem(async (stage) => {
      const { told, ask } = await setUp(stage);
      for (const generation of ask(1)) {
        await stage.host.advance(LOAD_MS + 1);
        generation.cancel();
      }
      for (let n = 0; n < 20; n++) {
        const burst = ask(3 * SLOTS);
        await stage.host.advance(1_000);
        for (const generation of burst) generation.cancel();
        await stage.host.advance(2_000);
      }
      expect(told).toEqual(['load a']);
    });
  });
});
