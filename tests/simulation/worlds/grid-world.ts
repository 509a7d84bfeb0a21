import type { RunCommand, VoteMessage } from '#actors/contract/agent-link.ts';
import type { JobState } from '#actors/contract/job-states.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import { createMemoryDatabase, type MemoryDatabase } from '#actors/store/memory/memory-store.ts';
import { pause } from '#runtime/database/backoff.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';
import type { System } from '#runtime/kernel/system.ts';
import { seededRandom } from '#runtime/simulation/random.ts';
import { createTrace, type Trace } from '#runtime/simulation/trace.ts';
import { virtualHost, type VirtualHost } from '#runtime/simulation/virtual-host.ts';
import { memoryObjects } from '#tests/support/memory-objects.ts';
import { buildModule } from '#tests/support/module-builder.ts';
import { SimulatedAgent } from '#tests/support/simulated-agent.ts';
import { SimulatedCoordinator } from '#tests/support/simulated-coordinator.ts';
import { SimulatedNetwork } from '#tests/support/simulated-network.ts';
import { SimulatedPresence } from '#tests/support/simulated-presence.ts';

import { scheduleFaults } from './grid-faults.ts';
import { paceFor } from './grid-pace.ts';
import { compute, planJobs, rightOutput, type PlannedJob } from './grid-plan.ts';
import { GridPromises } from './grid-promises.ts';
import { Violations, type Outcome, type World } from './world.ts';

/** When the faults are over, everything must come to its end within this. */
const PATIENCE_MS = 240_000;
const STEP_MS = 100;
const RESUBMIT_MS = 700;
const RESTART_MS = 1_000;
/** A fail-over may take an answer's record with it, if both happen at about the same time. */
const FAIL_OVER_BLUR_MS = 10_000;
const MODULE = buildModule();

/** How database and store of objects behave at the moment. */
export interface Weather {
  /** Share of transactions that fail, before or after their commit. */
  failures: number;
  /** The server is away. */
  down: boolean;
  /** Most ms that a statement takes. */
  statementMs: number;
  diskFull: boolean;
}

/** The whole grid in one process: what breaks in it, and what is watched. */
export interface Grid {
  readonly host: VirtualHost;
  readonly network: SimulatedNetwork;
  readonly database: MemoryDatabase;
  readonly agents: readonly SimulatedAgent[];
  readonly promises: GridPromises;
  readonly weather: Weather;
  readonly trace: Trace;
  /** Chance of the plan: apart from the host's, so that more of one does not change the other. */
  readonly chance: () => number;
  /** By their addresses; a dead one stays until its place is taken by its next run. */
  readonly coordinators: Map<string, SimulatedCoordinator>;
  readonly presence: SimulatedPresence;
  /** What happens to a coordinator in the instant after a commit of its own. */
  strike: ((coordinator: SimulatedCoordinator, verb: string) => void) | null;
  /** All faults are over. */
  healed: boolean;
  /** The play is over: nothing new is started. */
  over: boolean;
  failedOverAt: number;
  /** Commits that came before the play and are never lost. */
  safeCommits: number;
  /** Starts what listens at this address, unless it runs. */
  startCoordinator(address: string): void;
}

/** One or two jobs over a few machines, while anything may break for a while. */
export const gridWorld: World = async (seed, { keep = 0 } = {}) => {
  const host = virtualHost(seed);
  const chance = seededRandom(seed ^ 0x5eed);
  const violations = new Violations();
  const trace = createTrace(() => host.clock.now(), keep);
  const { grid, jobs } = await raise(host, { seed, chance, violations, trace });
  const faultsMs = 2_000 + chance() * 8_000;
  scheduleFaults(grid, faultsMs);

  const start = host.clock.now();
  const jobOf = (id: string) => grid.database.tables.jobs.get(id);
  const isOver = (): boolean =>
    grid.healed &&
    jobs.every(({ id, cancelAt }) => isAtEnd(jobOf(id)?.row.state, cancelAt !== null)) &&
    grid.agents.every(({ disk }) => disk.votes.size === 0);
  while (!violations.any && !isOver() && host.clock.now() - start < faultsMs + PATIENCE_MS) await host.advance(STEP_MS);

  if (!violations.any) {
    for (const { id, cancelAt } of jobs) {
      const job = jobOf(id);
      if (isAtEnd(job?.row.state, cancelAt !== null)) continue;
      const shards = job?.shards.map(({ state, wanted }) => `${state}(${wanted})`).join(' ');
      violations.add(`job ${id} is ${job?.row.state ?? 'nowhere'} at the end: ${shards ?? 'no shards'}`);
    }
    for (const { id, disk } of grid.agents)
      if (disk.votes.size > 0) violations.add(`${id} still waits for an answer to ${disk.votes.size} votes`);
  }
  grid.promises.end();
  grid.over = true;
  for (const agent of grid.agents) agent.crash(true);
  for (const coordinator of grid.coordinators.values()) coordinator.crash(true);
  await host.settle();
  const { transactions, lockedRows } = grid.database.busy;
  if (transactions + lockedRows > 0) violations.add(`${transactions} transactions and ${lockedRows} locks are left behind`);
  const outcome: Outcome = {
    hash: trace.hash,
    steps: trace.length + grid.network.delivered,
    virtualMs: host.clock.now() - start,
    violations: violations.list,
    recent: trace.recent,
  };
  return outcome;
};

function isAtEnd(state: JobState | undefined, mayBeCancelled: boolean): boolean {
  return state === 'done' || (mayBeCancelled && state === 'cancelled');
}

interface Stage {
  readonly seed: number;
  readonly chance: () => number;
  readonly violations: Violations;
  readonly trace: Trace;
}

/** Everything is there and starts to move. */
async function raise(host: VirtualHost, { seed, chance, violations, trace }: Stage): Promise<{ grid: Grid; jobs: readonly PlannedJob[] }> {
  const random = (length: number): Uint8Array => Uint8Array.from({ length }, () => Math.floor(host.random() * 256));
  const database = createMemoryDatabase({ randomBytes: random, history: 60 });
  const network = new SimulatedNetwork(host);
  const objects = memoryObjects();
  const key = generateKeyPair(random);
  /** One machine lies in some of the plays; then every shard needs two that agree. */
  const lies = chance() < 0.2;
  const machines = lies ? 4 : 2 + Math.floor(chance() * 3);
  const jobs = planJobs(seed, chance, { module: objects.keep(MODULE), maxQuorum: 2, minQuorum: lies ? 2 : 1 });
  const promises = new GridPromises(violations, database, { lies, right: (job, index) => sha256Hex(rightOutput(jobs, job, index)) });
  const weather: Weather = { failures: 0, down: false, statementMs: 2, diskFull: false };
  const onEnd = (system: System): void => promises.balanced(system);
  const presence = new SimulatedPresence();
  const addresses = ['grid-1', 'grid-2', 'grid-3'].slice(0, chance() < 0.4 ? 1 : chance() < 0.5 ? 2 : 3);
  let runs = 0;

  /** By what is on record one sees what the agent was told. */
  function onSettled(agent: SimulatedAgent, vote: VoteMessage): void {
    const votes = database.tables.jobs.get(vote.job)?.votes ?? [];
    const counts = votes.some((one) => one.refusal === null && one.signature === vote.signature);
    const refused = votes.some((one) => one.refusal !== null && one.signature === vote.signature);
    trace.note(`${agent.id} forgets ${fenceText(vote.fence)}${counts ? '' : ', refused'}`);
    const blurred = host.clock.now() - grid.failedOverAt < FAIL_OVER_BLUR_MS;
    if (!counts && !refused && !blurred && database.tables.jobs.has(vote.job))
      violations.add(`${agent.id} was told to forget its vote ${fenceText(vote.fence)}, which is nowhere on record`);
    if (counts) promises.acknowledged(agent.id, vote);
  }

  function newAgent(index: number, agentKey: KeyPair): SimulatedAgent {
    return new SimulatedAgent(`dev-${String.fromCharCode(97 + index).repeat(10)}`, agentKey, {
      host,
      network,
      random,
      serverKey: key.publicKey,
      // As by a name that stands for all coordinators.
      address: () => addresses[Math.floor(host.random() * addresses.length)] ?? 'nowhere',
      attempt: {
        compute: (command: RunCommand) =>
          lies && index === 0 ? new TextEncoder().encode(`a lie ${host.random()}`) : compute(jobs, command),
        durationMs: () => 5 + host.random() * 1_500,
        async upload(bytes) {
          await pause(host, 1 + host.random() * 20);
          if (weather.diskFull) throw new Error('507 insufficient storage');
          objects.keep(bytes);
        },
      },
      onObeyed(agent, command) {
        trace.note(`${agent.id} obeys ${fenceText(command.fence)} for shard ${command.shard}`);
        promises.obeyed(agent.id, command);
      },
      onSettled,
      onEnd,
    });
  }

  const grid: Grid = {
    host,
    network,
    database,
    promises,
    weather,
    trace,
    chance,
    agents: Array.from({ length: machines }, (_, index) => newAgent(index, generateKeyPair(random))),
    coordinators: new Map(),
    presence,
    strike: null,
    healed: false,
    over: false,
    failedOverAt: -Infinity,
    safeCommits: 0,
    startCoordinator(address) {
      if (grid.over || (grid.coordinators.get(address)?.process.state ?? 'dead') !== 'dead') return;
      const coordinator = new SimulatedCoordinator(`${address}.${(runs += 1)}`, address, {
        host,
        network,
        database,
        objects,
        presence,
        key,
        random,
        paceOf: (one) => paceFor(one, () => grid),
        onCrash: (one, { path, error }) => trace.note(`${one.name}: ${path} crashed: ${String(error)}`),
        onEnd,
      });
      grid.coordinators.set(address, coordinator);
      trace.note(`${coordinator.name} starts`);
      coordinator.boot().catch((error: unknown) => {
        if (coordinator.process.state === 'dead') return;
        // As the real one: it ends, and is started again.
        trace.note(`${coordinator.name} does not come up: ${String(error)}`);
        coordinator.crash(false);
        host.scheduler.after(RESTART_MS, () => grid.startCoordinator(address));
      });
    },
  };

  const { store } = database.connect();
  for (const {
    id,
    key: { publicKey },
  } of grid.agents) {
    await store.createEnrolmentToken({ hash: id, name: id, uses: 1, expiresAt: Infinity, createdAt: 0 });
    await store.enrol(id, { id, name: id, publicKey }, 1);
  }
  grid.safeCommits = database.commits;
  for (const address of addresses) grid.startCoordinator(address);
  for (const agent of grid.agents) host.scheduler.after(chance() * 300, () => agent.start());
  for (const job of jobs) host.scheduler.after(job.at, () => void submitUntilThere(grid, job));
  for (const job of jobs) if (job.cancelAt !== null) host.scheduler.after(job.cancelAt, () => !grid.over && cancel(grid, job));
  return { grid, jobs };
}

/** Somebody changes his mind; once, and whether or not the grid hears it. */
function cancel(grid: Grid, { id }: PlannedJob): void {
  const coordinator = anyOf(grid);
  grid.trace.note(`cancel ${id}`);
  coordinator?.process.enter(() => void coordinator.desk?.control(id, 'cancel', null).catch(() => undefined));
}

function anyOf({ coordinators, host }: Grid): SimulatedCoordinator | undefined {
  const all = [...coordinators.values()];
  return all[Math.floor(host.random() * all.length)];
}

/** A client that sends its job, under the same id, for as long as the grid does not know it. */
async function submitUntilThere(grid: Grid, { id, spec }: PlannedJob): Promise<void> {
  while (!grid.over) {
    const coordinator = anyOf(grid);
    if (!grid.database.tables.jobs.has(id)) {
      grid.trace.note(`submit ${id}`);
      // It may fail, and it may never be answered: what is in the database counts.
      coordinator?.process.enter(
        () => void coordinator.desk?.submit({ id, spec }, { tenant: 'default', name: 'client', role: 'submitter' }).catch(() => undefined),
      );
    }
    await pause(grid.host, RESUBMIT_MS);
  }
}
