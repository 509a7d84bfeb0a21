import { ConnectionLost, type Pace } from '#actors/store/memory/transaction.ts';
import { CLUSTER_TIMES } from '#runtime/cluster/cluster.ts';
import { pause } from '#runtime/database/backoff.ts';
import type { SimulatedCoordinator } from '#tests/support/simulated-coordinator.ts';

import type { Grid } from './grid-world.ts';

/** The database as one coordinator meets it: statements take their time, fail before or after they took effect, and wait for a frozen client. */
export function paceFor(coordinator: SimulatedCoordinator, grid: () => Grid): Pace {
  return (moment, what) => {
    const { host, weather, promises, trace, coordinators, strike } = grid();
    const { process } = coordinator;
    if (moment === 'answer') {
      promises.committed(coordinator.name, what);
      if (what.epochs.size > 0) trace.note(`${coordinator.name} ${what.verb}`);
      for (const one of coordinators.values()) if (reliesOnLease(one, grid())) promises.leased(one.name, host.clock.now());
      promises.deadlocked();
      // Between what is durable and what is told of it.
      if (what.epochs.size > 0 || what.verb === 'takeOver') strike?.(coordinator, what.verb);
    }
    if (moment === 'row')
      return host.random() < 0.97 ? undefined : pause(host, host.random() * weather.statementMs).then(() => process.running());
    if ((weather.down && moment !== 'answer') || (weather.failures > 0 && host.random() < weather.failures / 8)) {
      return pause(host, host.random() * weather.statementMs)
        .then(() => process.running())
        .then(() => Promise.reject(new ConnectionLost()));
    }
    // Most statements take no time worth a timer; the others make room for everybody else.
    if (host.random() < 0.6) return process.state === 'running' ? undefined : process.running();
    return pause(host, host.random() * weather.statementMs).then(() => process.running());
  };
}

/** A lease that a fail-over has changed since is another one. */
function reliesOnLease({ cluster, process }: SimulatedCoordinator, { failedOverAt, host }: Grid): boolean {
  return process.state === 'running' && cluster?.isHeld === true && host.clock.now() - failedOverAt > CLUSTER_TIMES.ttlMs;
}
