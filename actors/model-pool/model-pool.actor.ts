import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { ModelRow } from '#actors/store/store.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { FairQueue } from './fair-queue.ts';
import { ModelPoolProtocol, type Acquirer } from './model-pool.protocol.ts';
import { leastLoaded, loadable, RETRY_MS, retryAt, victimOf, type Active, type Replica } from './model-pool.state.ts';

/** Acquirers that wait at most; more are told to come back. */
const MAX_WAITING = 4_096;
/** A replica that may be tried again within this time is worth waiting for. */
const WORTH_WAITING_MS = 5_000;
/** A replica whose host died is loaded again after so long, doubling with each death. */
const CRASH_RETRY_MS = 250;

export interface ModelPoolArgs {
  readonly services: Services;
  readonly model: ModelRow;
}

/**
 * One model's replicas, and the queue in front of them. A stampede of acquirers causes one load; all of them wait for it. When all
 * slots are taken the queue is fair by key, and a key that has nothing running may take a slot from the one that has most.
 */
export const modelPoolActor = defineActor({
  protocol: ModelPoolProtocol,
  mailbox: { capacity: 16_384 },
  start(context, { services, model }: ModelPoolArgs) {
    const replicas = new Map<string, Replica & { ref: DeviceRef; crashes: number }>();
    const queue = new FairQueue<Acquirer>();
    const active = new Map<GenerationRef, Active>();

    function startLoad(exclude: readonly string[]): 'loading' | 'later' | 'nowhere' {
      const others = [...replicas.values()].filter((r) => !exclude.includes(r.device));
      if (others.some((r) => r.state === 'loading')) return 'loading';
      const now = context.clock.now();
      const next = loadable(others, now);
      const entry = next && replicas.get(next.device);
      if (entry === undefined) {
        const soonest = Math.min(...others.filter((r) => r.state === 'failed').map(retryAt));
        if (!(soonest - now <= WORTH_WAITING_MS)) return 'nowhere';
        context.after(Math.max(1, soonest - now), serve);
        return 'later';
      }
      entry.state = 'loading';
      services.log.info({ model: model.name, device: entry.device }, 'loading model');
      entry.ref.loadModel({ model: model.name, sha256: model.sha256, pool: context.self });
      return 'loading';
    }

    function whyNot(): GridError {
      const reasons = [...replicas.values()].filter((r) => r.reason !== '').map((r) => `${r.device}: ${r.reason}`);
      const why = replicas.size === 0 ? 'no connected device offers it' : reasons.join('; ') || 'no replica is ready';
      return new GridError('MODEL_FAILED', `model ${model.name} cannot be served now: ${why}`, {
        fix: '`corpgrid devices` shows who offers it',
      });
    }

    function serve(): void {
      while (serveOne());
    }

    /** Serves the first key that can be served. False when nobody can be now. */
    function serveOne(): boolean {
      let wantsSlot: Acquirer | undefined;
      for (const key of queue.keys()) {
        const next = queue.first(key);
        if (next === undefined) continue;
        const replica = leastLoaded(replicas.values(), next.exclude);
        const entry = replica && replicas.get(replica.device);
        if (entry !== undefined) {
          queue.shift(key);
          admit(next, entry);
          return true;
        }
        const ready = [...replicas.values()].some((r) => r.state === 'ready' && !r.draining && !next.exclude.includes(r.device));
        if (ready) wantsSlot ??= next;
        else if (startLoad(next.exclude) === 'nowhere') {
          queue.shift(key);
          next.owner.noReplica(whyNot());
          return true;
        }
      }
      if (wantsSlot !== undefined) preemptFor(wantsSlot);
      return false;
    }

    function admit({ owner, key }: Acquirer, entry: Replica & { ref: DeviceRef }): void {
      // A generation that its client left meanwhile takes no replica.
      if (owner.replica({ device: entry.device, ref: entry.ref }) !== 'accepted') return;
      entry.active += 1;
      // One that is about to leave a device holds a slot there until it has let go: the newer one counts.
      active.set(owner, { owner, key, device: entry.device, leaving: false });
      queue.charge(key, 1);
    }

    function preemptFor({ key, exclude }: Acquirer): void {
      const victim = victimOf({ key, exclude, queue, active: [...active.values()] });
      if (victim === undefined) return;
      victim.leaving = true;
      victim.owner.preempt();
    }

    return {
      offered({ device, ref, capacity }) {
        replicas.set(device, {
          device, ref, capacity, state: 'offered', memoryBytes: 0, active: 0, failedAt: 0, retryMs: RETRY_MS, reason: '', draining: false, crashes: 0,
        }); // prettier-ignore
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
        if (state === 'failed') {
          const crashed = entry.state === 'ready';
          entry.crashes = crashed ? entry.crashes + 1 : 0;
          entry.failedAt = context.clock.now();
          entry.retryMs = crashed ? Math.min(RETRY_MS, CRASH_RETRY_MS * 2 ** (entry.crashes - 1)) : RETRY_MS;
          entry.reason = reason ?? 'unknown';
        }
        entry.state = state === 'unloaded' ? 'offered' : state;
        if (state === 'ready') entry.reason = '';
        serve();
      },
      draining({ device, on }) {
        const entry = replicas.get(device);
        if (entry !== undefined) entry.draining = on;
        serve();
      },
      acquire(acquirer) {
        if (queue.size >= MAX_WAITING) {
          return void acquirer.owner.noReplica(new GridError('BUSY', `too many requests wait for model ${model.name}`));
        }
        queue.push(acquirer.key, acquirer);
        serve();
      },
      abandon(owner) {
        queue.remove((acquirer) => acquirer.owner === owner);
      },
      release({ device, owner, tokens, unused = false }) {
        const entry = replicas.get(device);
        if (entry !== undefined) entry.active = Math.max(0, entry.active - 1);
        const known = active.get(owner);
        if (known?.device === device) {
          active.delete(owner);
          if (!unused) queue.charge(known.key, tokens);
        }
        serve();
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
