import { ConnectionLost, type Pace } from '#actors/store/memory/transaction.ts';
import { pause } from '#runtime/database/backoff.ts';
import type { SimulatedCoordinator } from '#tests/support/simulated-coordinator.ts';

import type { Grid } from './grid-world.ts';

/** The database as one coordinator meets it: statements take their time, fail before or after they took effect, and wait for a frozen client. */
export function paceFor(coordinator: SimulatedCoordinator, grid: () => Grid): Pace {
  return (moment, what) => {
    const { host, weather, promises, trace } = grid();
    const { process } = coordinator;
    if (moment === 'answer') {
      promises.committed(coordinator.name, what);
      if (what.epochs.size > 0) trace.note(`${coordinator.name} ${what.verb}`);
    }
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
