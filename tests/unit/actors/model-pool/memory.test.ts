import { describe, expect, it } from 'vitest';

import { DeviceProtocol, type DeviceRef } from '#actors/device/device.protocol.ts';
import { GenerationProtocol, type GenerationRef } from '#actors/generation/generation.protocol.ts';
import { modelPoolActor } from '#actors/model-pool/model-pool.actor.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { Services } from '#actors/services.ts';
import { defineActor, type Handlers } from '#runtime/kernel/actor.ts';
import type { Protocol } from '#runtime/kernel/protocol.ts';
import { type Stage, withSystem } from '#tests/support/actors.ts';
import { logRecord } from '#tests/support/log-record.ts';

const MODEL = { name: 'm', sha256: 'a'.repeat(64), size: 7, contextSize: 512 };

function handlersOf<P extends Protocol>(protocol: P, some: Partial<Handlers<P>>): Handlers<P> {
  return { ...Object.fromEntries(protocol.kinds.map((kind) => [kind, () => {}])), ...some } as Handlers<P>;
}

/** A pool with one device, which writes down what it is told and loads at once. */
async function setUp({ system, host }: Stage): Promise<{ pool: ModelPoolRef; told: string[]; ask: () => GenerationRef }> {
  const told: string[] = [];
  // All that a pool of offered models asks for: nobody is in quarantine.
  const services = { log: logRecord(), store: { standings: () => Promise.resolve([]) } } as unknown as Services;
  const args = { services, model: MODEL, stored: null, serving: new Map() };
  const pool = system.spawn({ id: 'pool', actor: modelPoolActor, restart: 'permanent', args });
  const actor = defineActor({
    protocol: DeviceProtocol,
    start: () =>
      handlersOf(DeviceProtocol, {
        loadModel({ needsBytes }) {
          told.push(`load ${needsBytes}`);
          pool.state({ device: 'a', state: 'ready', memoryBytes: 6 });
        },
        unloadModel() {
          told.push('unload');
          pool.state({ device: 'a', state: 'unloaded', memoryBytes: 0 });
        },
        keepModel: () => void told.push('keep'),
      }),
  });
  const ref: DeviceRef = system.spawn({ id: 'a', actor, restart: 'temporary', args: undefined });
  pool.offered({ device: 'a', ref, capacity: 2 });
  let ids = 0;
  const ask = (): GenerationRef => {
    const generation = defineActor({
      protocol: GenerationProtocol,
      start: (context) =>
        handlersOf(GenerationProtocol, {
          replica: () => void told.push('replica'),
          cancel() {
            pool.release({ device: 'a', owner: context.self, tokens: 1 });
            context.stop();
          },
        }),
    });
    const owner = system.spawn({ id: `g-${++ids}`, actor: generation, restart: 'temporary', args: undefined });
    pool.acquire({ owner, key: 'key', exclude: [] });
    return owner;
  };
  await host.settle();
  return { pool, told, ask };
}

describe('a model whose memory is wanted', () => {
  it('stays while it is busy, goes when it is not, and comes back when it is asked for', async () => {
    await withSystem(async (stage) => {
      const { pool, told, ask } = await setUp(stage);
      const generation = ask();
      await stage.host.settle();
      pool.makeRoom('a');
      await stage.host.settle();
      generation.cancel();
      await stage.host.settle();
      pool.makeRoom('a');
      await stage.host.settle();
      expect(told.splice(0)).toEqual(['load 7', 'replica', 'keep', 'unload']);
      ask();
      await stage.host.settle();
      expect(told).toEqual(['load 7', 'replica']);
    });
  });

  it('is unloaded when nobody used it for half an hour', async () => {
    await withSystem(async (stage) => {
      const { told, ask } = await setUp(stage);
      const generation = ask();
      await stage.host.settle();
      await stage.host.advance(60 * 60_000);
      expect(told).not.toContain('unload');
      generation.cancel();
      await stage.host.advance(29 * 60_000);
      expect(told).not.toContain('unload');
      await stage.host.advance(5 * 60_000);
      expect(told).toEqual(['load 7', 'replica', 'unload']);
    });
  });

  it('is unloaded from a machine that is wanted back, once what runs there has left', async () => {
    await withSystem(async (stage) => {
      const { pool, told, ask } = await setUp(stage);
      const generation = ask();
      await stage.host.settle();
      pool.draining({ device: 'a', on: true });
      await stage.host.settle();
      expect(told).not.toContain('unload');
      generation.cancel();
      await stage.host.settle();
      expect(told).toEqual(['load 7', 'replica', 'unload']);
    });
  });
});
