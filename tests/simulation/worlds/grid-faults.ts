import type { SimulatedAgent } from '#tests/support/simulated-agent.ts';

import type { Grid } from './grid-world.ts';

/** What breaks, and for how long it stays broken at most. */
type Fault = (grid: Grid, forMs: number) => void;

const FAULTS: readonly (readonly [weight: number, name: string, fault: Fault])[] = [
  [3, 'the coordinator crashes', (grid, forMs) => crashCoordinator(grid, forMs / 3)],
  [
    2,
    'the coordinator freezes',
    (grid, forMs) => {
      const process = grid.coordinator?.process;
      process?.freeze();
      after(grid, forMs, () => process?.thaw());
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
  [3, 'connections break', (grid) => grid.network.cut(anyAgent(grid).id, grid.chance() < 0.5 ? 5 : 4_000)],
  [
    3,
    'one way is blocked',
    (grid, forMs) => {
      const { id } = anyAgent(grid);
      const there = grid.coordinator?.name ?? '';
      const [from, to] = grid.chance() < 0.5 ? [id, there] : [there, id];
      grid.network.block(from, to);
      after(grid, forMs, () => grid.network.unblock(from, to));
    },
  ],
  [
    2,
    'a partition',
    (grid, forMs) => {
      const there = grid.coordinator?.name ?? '';
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
        grid.coordinator?.databaseIsBack();
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
  [1, 'presence is wiped', (grid) => grid.coordinator?.wipePresence()],
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
      const process = grid.chance() < 0.5 ? grid.coordinator?.process : anyAgent(grid).process;
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
  grid.network.unblockAll();
  grid.network.delayMs = [0.2, 2];
  grid.weather.failures = 0;
  grid.weather.down = false;
  grid.weather.statementMs = 2;
  grid.weather.diskFull = false;
  grid.coordinator?.process.thaw();
  if (grid.coordinator === null || grid.coordinator.process.state === 'dead') grid.startCoordinator();
  else grid.coordinator.databaseIsBack();
  for (const agent of grid.agents) {
    agent.disk.full = false;
    agent.process?.thaw();
    agent.start();
  }
}

function crashCoordinator(grid: Grid, forMs: number): void {
  const dead = grid.coordinator;
  if (dead === null || dead.process.state === 'dead') return;
  dead.crash(grid.chance() < 0.5);
  after(grid, 100 + forMs, () => {
    if (grid.coordinator === dead) grid.startCoordinator();
  });
}

/**
 * A replica takes over that had not seen the last commits. The one in which the coordinator took its partitions is not among
 * them: one coordinator alone would be fenced for ever by its own database.
 */
function failOver(grid: Grid): void {
  const lost = grid.database.failOver(Math.min(Math.floor(grid.chance() * 6), grid.promises.commitsSinceTaken));
  grid.trace.note(`lost ${lost} commits`);
  grid.failedOverAt = grid.host.clock.now();
  grid.promises.failedOver();
  grid.weather.down = true;
  after(grid, 50 + grid.chance() * 500, () => {
    grid.weather.down = false;
    grid.coordinator?.databaseIsBack();
  });
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
