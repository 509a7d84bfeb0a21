import type { DeviceRef } from '#actors/device/device.protocol.ts';
import type { JobsRef, PlacedLease } from '#actors/job/jobs.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { Lease } from '#actors/store/store.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { PlacementProtocol } from './placement.protocol.ts';
import { place } from './placement.state.ts';

/** Shards claimed in one transaction at most. */
const BATCH = 500;
/** Nothing may hang on a lost wake-up: look this often even when nobody called. */
const SWEEP_MS = 1_000;

interface Slots {
  sessionEpoch: number;
  ref: DeviceRef;
  free: number;
}

export interface PlacementArgs {
  readonly services: Services;
  readonly jobs: () => JobsRef;
}

export const placementActor = defineActor({
  protocol: PlacementProtocol,
  start(context, { services, jobs }: PlacementArgs) {
    const slots = new Map<string, Slots>();
    let claiming = false;
    let again = false;

    function freeSlots(): Map<string, number> {
      const free = new Map<string, number>();
      for (const [device, entry] of slots) if (entry.free > 0) free.set(device, entry.free);
      return free;
    }

    function deliver(leases: readonly Lease[]): void {
      const placed: PlacedLease[] = [];
      for (const lease of leases) {
        const entry = slots.get(lease.device);
        // The session ended while the claim was under way: the stopped ref makes its ShardActor release the attempt.
        const ref = entry?.ref ?? departed.get(lease.device);
        if (entry !== undefined) {
          entry.free -= 1;
          entry.ref.leased({ job: lease.job, fence: lease.fence });
        }
        if (ref !== undefined) placed.push({ lease, device: ref });
      }
      if (placed.length > 0) jobs().leased(placed);
    }

    /** Sessions that ended during the claim in flight. */
    const departed = new Map<string, DeviceRef>();

    function claim(): void {
      if (claiming) {
        again = true;
        return;
      }
      const free = freeSlots();
      if (free.size === 0) return;
      const total = [...free.values()].reduce((a, b) => a + b, 0);
      claiming = true;
      again = false;
      const request = {
        epochs: services.epochs,
        devices: [...free.keys()],
        limit: Math.min(BATCH, total),
        at: context.clock.wall(),
        place: (candidates: Parameters<typeof place>[0]) => place(candidates, free),
      };
      context.pipe(services.store.claim(request), (result) => {
        claiming = false;
        if (!result.ok) {
          // PostgreSQL may be restarting. The sweep tries again.
          services.log.warn({ error: result.error }, 'claim failed');
          departed.clear();
          return;
        }
        deliver(result.value);
        departed.clear();
        if (again || result.value.length > 0) claim();
      });
    }

    context.every(SWEEP_MS, claim);

    return {
      grant({ device, sessionEpoch, ref, slots: more }) {
        const entry = slots.get(device);
        if (entry === undefined || sessionEpoch > entry.sessionEpoch) slots.set(device, { sessionEpoch, ref, free: more });
        else if (entry.sessionEpoch === sessionEpoch) entry.free += more;
        claim();
      },
      withdraw({ device, sessionEpoch }) {
        const entry = slots.get(device);
        if (entry === undefined || entry.sessionEpoch !== sessionEpoch) return;
        if (claiming) departed.set(device, entry.ref);
        slots.delete(device);
      },
      wake() {
        claim();
      },
    };
  },
});
