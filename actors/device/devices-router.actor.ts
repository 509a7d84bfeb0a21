import type { GridCluster } from '#actors/cluster/grid-cluster.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { DevicesProtocol, type DevicesRef } from './devices.protocol.ts';

export interface DevicesRouterArgs {
  readonly cluster: GridCluster;
  /** Those that are connected to this coordinator. */
  readonly local: DevicesRef;
}

const ASK = { timeoutMs: 3_000 };

/** The devices of all coordinators, for whoever does not care where a device is connected. */
export const devicesRouterActor = defineActor({
  protocol: DevicesProtocol,
  mailbox: { capacity: 65_536 },
  start(_context, { cluster, local }: DevicesRouterArgs) {
    const all = (): DevicesRef[] => [local, ...cluster.others('devices', DevicesProtocol).values()];

    return {
      opened: (opened) => void local.opened(opened),
      beat: (beat) => void local.beat(beat),
      due: (due) => void local.due(due),
      changed: (device) => void local.changed(device),
      reportHeld(job) {
        for (const devices of all()) devices.reportHeld(job);
      },
      jobEnded(job) {
        for (const devices of all()) devices.jobEnded(job);
      },
      async find(device) {
        const here = await local.find(device, ASK);
        if (here !== null) return here;
        // A coordinator that does not answer is about to be declared dead, and its devices with it.
        const there = await Promise.all(
          all()
            .slice(1)
            .map((devices) => devices.find(device, ASK).catch(() => null)),
        );
        return there.find((ref) => ref !== null) ?? null;
      },
      async live() {
        const maps = await Promise.all(all().map((devices) => devices.live(undefined, ASK).catch(() => null)));
        return new Map(maps.toReversed().flatMap((map) => (map === null ? [] : [...map])));
      },
    };
  },
});
