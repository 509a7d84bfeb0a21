import type { SimulatedAgent } from '#tests/support/simulated-agent.ts';
import type { SimulatedCoordinator } from '#tests/support/simulated-coordinator.ts';

import type { Grid } from './grid-world.ts';

/** What breaks, and for how long it stays broken at most. */
type Fault = (grid: Grid, forMs: number) => void;

const FAULTS: readonly (readonly [weight: number, name: string, fault: Fault])[] = [
  [
    3,
    'a coordinator is struck in the moment after a commit',
    (grid, forMs) => {
      const verb = ['claim', 'commit', 'seal', 'takeOver'][Math.floor(grid.chance() * 4)];
      const dies = grid.chance() < 0.5;
      grid.strike = (coordinator, committed) => {
        if (committed !== verb) return;
        grid.strike = null;
        grid.trace.note(`${coordinator.name} ${dies ? 'dies' : 'freezes'} after ${committed}`);
        if (dies) return crash(grid, coordinator, forMs / 3);
        // Or another one, which waits for what was committed.
        const { process } = grid.chance() < 0.5 ? coordinator : anyCoordinator(grid);
        process.freeze();
        after(grid, 1_000 + forMs, () => process.thaw());
      };
    },
  ],
  [3, 'a coordinator crashes', (grid, forMs) => crashCoordinator(grid, forMs / 3)],
  [
    2,
    'a coordinator freezes',
    (grid, forMs) => {
      const { process } = anyCoordinator(grid);
      process.freeze();
      after(grid, forMs, () => process.thaw());
    },
  ],
  [
    2,
    'coordinators do not reach each other',
    (grid, forMs) => {
      const { name } = anyCoordinator(grid).process;
      const others = [...grid.coordinators.values()].filter((one) => one.name !== name);
      const oneWay = grid.chance() < 0.3;
      for (const other of others) {
        grid.network.block(name, other.name);
        if (!oneWay) grid.network.block(other.name, name);
      }
      after(grid, forMs, () => {
        for (const other of others) {
          grid.network.unblock(name, other.name);
          grid.network.unblock(other.name, name);
        }
      });
    },
  ],
  [
    3,
    'an agent crashes',
    (grid, forMs) => {
      const agent = anyAgent(grid);
      agent.crash(grid.chance() < 0.5);
      after(grid, forMs / 2, () => agent.start());
    },
  ],
  [
    2,
    'an agent freezes',
    (grid, forMs) => {
      const { process } = anyAgent(grid);
      process?.freeze();
      after(grid, forMs, () => process?.thaw());
    },
  ],
  [
    3,
    'connections break',
    (grid) => grid.network.cut(grid.chance() < 0.7 ? anyAgent(grid).id : anyCoordinator(grid).name, grid.chance() < 0.5 ? 5 : 4_000),
  ],
  [
    3,
    'one way is blocked',
    (grid, forMs) => {
      const { id } = anyAgent(grid);
      const there = anyCoordinator(grid).name;
      const [from, to] = grid.chance() < 0.5 ? [id, there] : [there, id];
      grid.network.block(from, to);
      after(grid, forMs, () => grid.network.unblock(from, to));
    },
  ],
  [
    2,
    'a partition',
    (grid, forMs) => {
      const there = anyCoordinator(grid).name;
      const apart = grid.agents.filter(() => grid.chance() < 0.5);
      for (const { id } of apart) {
        grid.network.block(id, there);
        grid.network.block(there, id);
      }
      after(grid, forMs, () => {
        for (const { id } of apart) {
          grid.network.unblock(id, there);
          grid.network.unblock(there, id);
        }
      });
    },
  ],
  [
    1,
    'the network is slow',
    (grid, forMs) => {
      grid.network.delayMs = [5, 400];
      after(grid, forMs, () => (grid.network.delayMs = [0.2, 2]));
    },
  ],
  [
    2,
    'statements fail',
    (grid, forMs) => {
      grid.weather.failures = 0.05 + grid.chance() * 0.4;
      after(grid, forMs / 2, () => {
        grid.weather.failures = 0;
        databaseIsBack(grid);
      });
    },
  ],
  [
    2,
    'the database is slow',
    (grid, forMs) => {
      grid.weather.statementMs = 200;
      after(grid, forMs / 2, () => (grid.weather.statementMs = 2));
    },
  ],
  [3, 'the database fails over', (grid) => failOver(grid)],
  [1, 'presence is wiped', (grid) => grid.presence.wipe()],
  [
    1,
    'the store of objects is full',
    (grid, forMs) => {
      grid.weather.diskFull = true;
      after(grid, forMs, () => (grid.weather.diskFull = false));
    },
  ],
  [
    1,
    'the disk of an agent is full',
    (grid, forMs) => {
      const { disk } = anyAgent(grid);
      disk.full = true;
      after(grid, forMs / 4, () => (disk.full = false));
    },
  ],
  [
    1,
    'a calendar jumps',
    (grid) => {
      const process = grid.chance() < 0.5 ? anyCoordinator(grid).process : anyAgent(grid).process;
      process?.skewWall((grid.chance() - 0.5) * 7_200_000);
    },
  ],
];

const TOTAL = FAULTS.reduce((sum, [weight]) => sum + weight, 0);

/** Some faults within the first `untilMs`; then everything is put right. */
export function scheduleFaults(grid: Grid, untilMs: number): void {
  const count = Math.floor(grid.chance() * 7);
  for (let i = 0; i < count; i++) {
    let pick = grid.chance() * TOTAL;
    const [, name, fault] = FAULTS.find(([weight]) => (pick -= weight) < 0) ?? FAULTS[0] ?? [];
    const forMs = 50 + grid.chance() ** 2 * 8_000;
    after(grid, 100 + grid.chance() * (untilMs - 100), () => {
      grid.trace.note(name ?? '');
      fault?.(grid, forMs);
    });
  }
  after(grid, untilMs, () => heal(grid));
}

function heal(grid: Grid): void {
  grid.trace.note('all is well');
  grid.healed = true;
  grid.strike = null;
  grid.network.unblockAll();
  grid.network.delayMs = [0.2, 2];
  grid.weather.failures = 0;
  grid.weather.down = false;
  grid.weather.statementMs = 2;
  grid.weather.diskFull = false;
  for (const [address, { process }] of grid.coordinators) {
    process.thaw();
    grid.startCoordinator(address);
  }
  databaseIsBack(grid);
  for (const agent of grid.agents) {
    agent.disk.full = false;
    agent.process?.thaw();
    agent.start();
  }
}

function crashCoordinator(grid: Grid, forMs: number): void {
  crash(grid, anyCoordinator(grid), forMs);
}

function crash(grid: Grid, dead: SimulatedCoordinator, forMs: number): void {
  dead.crash(grid.chance() < 0.5);
  after(grid, 100 + forMs, () => grid.startCoordinator(dead.address));
  // When it is back partitions move, and a fail-over may take that back.
  if (grid.chance() < 0.2) after(grid, 100 + forMs + grid.chance() * 2_500, () => failOver(grid));
}

/** A replica takes over that had not seen the last commits, whatever they were. */
function failOver(grid: Grid): void {
  const lost = grid.database.failOver(Math.min(Math.floor(grid.chance() ** 2 * 25), grid.database.commits - grid.safeCommits));
  grid.trace.note(`lost ${lost} commits`);
  grid.failedOverAt = grid.host.clock.now();
  grid.promises.failedOver();
  grid.weather.down = true;
  after(grid, 50 + grid.chance() * 500, () => {
    grid.weather.down = false;
    databaseIsBack(grid);
  });
}

function databaseIsBack(grid: Grid): void {
  for (const coordinator of grid.coordinators.values()) coordinator.databaseIsBack();
}

function anyCoordinator(grid: Grid): SimulatedCoordinator {
  const all = [...grid.coordinators.values()];
  const one = all[Math.floor(grid.chance() * all.length)];
  if (one === undefined) throw new Error('a grid without coordinators');
  return one;
}

function anyAgent(grid: Grid): SimulatedAgent {
  const agent = grid.agents[Math.floor(grid.chance() * grid.agents.length)];
  if (agent === undefined) throw new Error('a grid without agents');
  return agent;
}

function after(grid: Grid, ms: number, run: () => void): void {
  grid.host.scheduler.after(ms, () => {
    if (!grid.over) run();
  });
}
