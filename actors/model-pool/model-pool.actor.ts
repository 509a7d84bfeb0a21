import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { ModelRow } from '#actors/store/store.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { ModelPoolProtocol } from './model-pool.protocol.ts';
import { leastLoaded, loadable, type Replica } from './model-pool.state.ts';

/** Acquirers that wait for one load at most; more are told to come back. */
const MAX_WAITING = 1_024;

export interface ModelPoolArgs {
  readonly services: Services;
  readonly model: ModelRow;
}

/** One model's replicas. A stampede of acquirers causes one load; all of them wait for it. */
export const modelPoolActor = defineActor({
  protocol: ModelPoolProtocol,
  mailbox: { capacity: 16_384 },
  start(context, { services, model }: ModelPoolArgs) {
    const replicas = new Map<string, Replica & { ref: DeviceRef }>();
    const waiting: GenerationRef[] = [];

    function startLoad(): void {
      if ([...replicas.values()].some((r) => r.state === 'loading')) return;
      const next = loadable(replicas.values(), context.clock.now());
      const entry = next && replicas.get(next.device);
      if (entry === undefined) return failWaiting();
      entry.state = 'loading';
      services.log.info({ model: model.name, device: entry.device }, 'loading model');
      entry.ref.loadModel({ model: model.name, sha256: model.sha256, pool: context.self });
    }

    function failWaiting(): void {
      const reasons = [...replicas.values()].filter((r) => r.reason !== '').map((r) => `${r.device}: ${r.reason}`);
      const why = replicas.size === 0 ? 'no connected device offers it' : reasons.join('; ') || 'no replica is ready';
      const error = new GridError('MODEL_FAILED', `model ${model.name} cannot be served now: ${why}`, {
        fix: '`corpgrid devices` shows who offers it',
      });
      for (const generation of waiting.splice(0)) generation.noReplica(error);
    }

    function serve(): void {
      while (waiting.length > 0) {
        const replica = leastLoaded(replicas.values());
        const entry = replica && replicas.get(replica.device);
        if (entry === undefined) return startLoad();
        // A generation that its client left meanwhile takes no replica.
        if (waiting.shift()?.replica({ device: entry.device, ref: entry.ref }) === 'accepted') entry.active += 1;
      }
    }

    return {
      offered({ device, ref }) {
        replicas.set(device, { device, ref, state: 'offered', memoryBytes: 0, active: 0, failedAt: 0, reason: '' });
        context.watch(ref, () => {
          // A newer session of the device may have replaced the entry already.
          if (replicas.get(device)?.ref === ref) replicas.delete(device);
          serve();
        });
        serve();
      },
      state({ device, state, memoryBytes, reason }) {
        const entry = replicas.get(device);
        if (entry === undefined) return;
        entry.memoryBytes = memoryBytes;
        entry.state = state === 'unloaded' ? 'offered' : state;
        if (state === 'failed') {
          entry.failedAt = context.clock.now();
          entry.reason = reason ?? 'unknown';
        }
        if (state === 'ready') entry.reason = '';
        serve();
      },
      acquire(generation) {
        if (waiting.length >= MAX_WAITING) {
          return void generation.noReplica(new GridError('BUSY', `too many requests wait for model ${model.name}`));
        }
        waiting.push(generation);
        serve();
      },
      release({ device }) {
        const entry = replicas.get(device);
        if (entry !== undefined) entry.active = Math.max(0, entry.active - 1);
      },
      report() {
        return {
          model,
          replicas: [...replicas.values()].map(({ device, state, memoryBytes, active }) => ({ device, state, memoryBytes, active })),
        };
      },
    };
  },
});
