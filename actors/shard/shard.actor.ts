import type { RunCommand } from '#actors/contract/agent-link.ts';
import { fenceText, type Fence } from '#actors/contract/primitives.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { JobRef } from '#actors/job/job.protocol.ts';
import type { Services } from '#actors/services.ts';
import { isStaleEpoch } from '#actors/store/stale-epoch.ts';
import type { JobRow, Lease } from '#actors/store/store.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { keepCheckpoint } from './keep-checkpoint.ts';
import { ShardProtocol } from './shard.protocol.ts';
import { moves, type EndState, type LiveAttempt } from './shard.state.ts';

/** Time for input and output around the time that the module may run. */
const TRANSFER_MS = 300_000;

export interface ShardArgs {
  readonly services: Services;
  readonly job: JobRow;
  readonly epoch: number;
  readonly index: number;
  readonly owner: JobRef;
  readonly command: (lease: Lease) => Promise<RunCommand>;
}

/** Drives the attempts of one shard; the states stand in shard.state.ts. */
export const shardActor = defineActor({
  protocol: ShardProtocol,
  start(context, args: ShardArgs) {
    const { services, job, epoch, index, owner } = args;
    const attempts = new Map<string, LiveAttempt>();
    const { retry } = job.spec;
    const pause = retry === undefined ? {} : { pause: { firstMs: retry.pauseSeconds * 1_000, mostMs: retry.maxPauseSeconds * 1_000 } };
    /** Ends the watch over a live attempt: its session, and its time. */
    const watches = new Map<string, () => void>();
    /** The newest checkpoint on its way to the record. */
    let keeping: Promise<void> = Promise.resolve();

    function forget(fence: Fence): void {
      const key = fenceText(fence);
      attempts.delete(key);
      watches.get(key)?.();
      watches.delete(key);
    }

    function keep(fence: Fence, device: DeviceRef): void {
      const key = fenceText(fence);
      watches.get(key)?.();
      attempts.set(key, { fence, device, state: 'leased' });
      // A session that ends takes its leases with it, however it ended.
      const unwatch = context.watch(device, () => end(fence, 'expired', 'the session of the device ended'));
      // The agent ends an attempt in time. One that beats on and says nothing must not hold the shard for ever.
      const ms = job.spec.limits.timeoutSeconds * 1_000 + TRANSFER_MS;
      const deadline = context.after(ms, () => end(fence, 'suspect', 'no result within the time limit'));
      watches.set(key, () => {
        unwatch();
        deadline.cancel();
      });
    }

    function end(fence: Fence, state: EndState, reason: string): void {
      const attempt = attempts.get(fenceText(fence));
      if (attempt !== undefined && !moves(attempt, state)) return;
      if (state === 'suspect') {
        if (attempt !== undefined) attempt.state = 'suspect';
      } else {
        forget(fence);
      }
      const change = { type: 'end', partition: job.partition, epoch, fence, state, reason, at: context.clock.wall(), ...pause } as const;
      context.pipe(services.ledger.submit(change), (result) => {
        if (!result.ok) {
          if (isStaleEpoch(result.error)) return context.stop();
          throw result.error;
        }
        if (!result.value.applied) return;
        if (result.value.failures >= job.spec.maxFailures && state === 'failed') {
          owner.shardFailed({ index, reason: `${result.value.failures} attempts failed, the last one: ${reason}` });
        } else {
          owner.reopened({ index });
        }
      });
    }

    return {
      leased({ lease, device }) {
        keep(lease.fence, device);
        context.pipe(args.command(lease), (result) => {
          // Ended while the addresses of its objects were signed.
          if (!attempts.has(fenceText(lease.fence))) return;
          if (!result.ok) return end(lease.fence, 'released', 'the object store signs no addresses');
          if (device.run(result.value) !== 'accepted') end(lease.fence, 'released', 'the device could not take the command');
        });
      },
      adopted({ fence, device }) {
        keep(fence, device);
      },
      attempt({ fence, event, reason }) {
        // Whoever gives it back may have left a checkpoint just now: the next lease shall find it.
        if (event === 'released') context.pipe(keeping, () => end(fence, event, reason));
        else end(fence, event, reason);
      },
      checkpoint(event) {
        if (!attempts.has(fenceText(event.message.fence))) return;
        const work = keepCheckpoint({ services, job, epoch, at: context.clock.wall() }, event);
        keeping = work.catch(() => undefined);
        context.pipe(work, (result) => {
          if (result.ok) return;
          if (isStaleEpoch(result.error)) return context.stop();
          // The attempt goes on without it, and the next one comes soon.
          services.log.warn({ job: job.id, shard: index, error: result.error }, 'a checkpoint was not kept');
        });
      },
      voted(fence) {
        forget(fence);
      },
      settled(reason) {
        for (const attempt of attempts.values()) {
          attempt.device?.stopAttempt({ partition: job.partition, fence: attempt.fence, reason });
        }
        for (const stopWatching of watches.values()) stopWatching();
        context.stop();
      },
    };
  },
});
