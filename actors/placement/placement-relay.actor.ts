import type { GridCluster } from '#actors/cluster/grid-cluster.ts';
import { GridError } from '#runtime/errors.ts';
import { defineActor } from '#runtime/kernel/actor.ts';

import { PlacementProtocol, type PlacementRef } from './placement.protocol.ts';

export interface PlacementRelayArgs {
  readonly cluster: GridCluster;
  readonly local: PlacementRef;
}

/** A coordinator that is new has to hear of the jobs that run already. */
const LOOK_MS = 500;

/**
 * Each coordinator places shards on the devices that are connected to it, of the jobs of all coordinators: so what a job says
 * to placement goes to all of them. What a device says stays where the device is.
 */
export const placementRelayActor = defineActor({
  protocol: PlacementProtocol,
  mailbox: { capacity: 65_536 },
  start(context, { cluster, local }: PlacementRelayArgs) {
    const open = new Map<string, Parameters<PlacementRef['open']>[0]>();
    let known = new Set<string>();

    const others = (): ReadonlyMap<string, PlacementRef> => cluster.others('placement', PlacementProtocol);
    const all = (): PlacementRef[] => [local, ...others().values()];

    context.every(LOOK_MS, () => {
      const now = others();
      for (const [node, placement] of now) {
        if (!known.has(node)) for (const job of open.values()) placement.open(job);
      }
      known = new Set(now.keys());
    });

    return {
      open(job) {
        open.set(job.id, job);
        for (const placement of all()) placement.open(job);
      },
      closed(job) {
        open.delete(job);
        for (const placement of all()) placement.closed(job);
      },
      wake(job) {
        for (const placement of all()) placement.wake(job);
      },
      session: (session) => void local.session(session),
      withdraw: (session) => void local.withdraw(session),
      freed: (freed) => void local.freed(freed),
      condition: (condition) => void local.condition(condition),
      // The others read them again by themselves.
      policiesChanged: () => void local.policiesChanged(),
      hold: (hold) => void local.hold(hold),
      ledgers() {
        throw new GridError('INTERNAL', 'each coordinator knows the ledgers of its own devices');
      },
      blocks() {
        throw new GridError('INTERNAL', 'each coordinator says what blocks a job on its own devices');
      },
    };
  },
});
