import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { JobSpec } from '#actors/contract/job-spec.ts';
import type { JobSummary } from '#actors/contract/live.ts';
import { startGrid, type Grid } from '#tests/support/grid.ts';

import { type Benchmark, type Findings, rounded } from './benchmark.ts';
import { uploadWordCount } from './examples.ts';
import type { Fault, LeaseEvent, Order, Report } from './lease-agents.ts';

const SLOTS = 2;
/** Lines that are cut in one go, and the pause after it. */
const WAVE = 5;
const WAVE_MS = 50;
/** A line that is back within this was resumed in time. */
const IN_TIME_MS = 200;
/** Rounds over the whole fleet at most, until as many lines as there are devices were resumed in time. */
const ROUNDS = 5;
const LIMIT_MS = 60_000;
const POLL_MS = 50;

/**
 * A fleet of light devices over real WebSockets, in a process of its own, each with room for one shard more than it has, so
 * that work which is lost may be leased again at once and work which is not lost could be leased twice by mistake.
 */
export const leases: Benchmark = {
  about: 'work of lost, silent and cut devices leased again; a coordinator killed under running shards',
  async run({ quick, note }) {
    const count = quick ? 300 : 1_000;
    const grid = await startGrid();
    let fleet: Fleet | null = null;
    try {
      note(`starting ${count} devices`);
      const { token } = (await grid.client.post('/api/tokens', { name: 'bench', uses: count })) as { token: string };
      fleet = await Fleet.start(grid, token, count);
      const job = await submit(grid, count);
      const everywhere = fleet;
      await until(() => everywhere.running.size === count, 'every shard runs');
      const figures: Record<string, number> = { devices: count, shards: count };

      note(`cutting ${count} lines that come back at once`);
      for (let round = 0; round < ROUNDS && fleet.inTime.length < count; round++) {
        await fleet.cut(range(0, count), 'blip');
        await until(() => everywhere.cutNow.size === 0, 'every line is back');
        // Were an attempt taken for lost, it would be leased again in this time.
        await sleep(1_000);
      }
      figures['cutsResumedInTime'] = fleet.inTime.length;
      figures['cutsResumedP99Ms'] = percentile(fleet.resumeTimes, 0.99);
      figures['cutsRunAgain'] = fleet.runAgainInTime();

      const lost = range(0, Math.floor(count / 5));
      note(`cutting ${lost.length} lines for good`);
      const afterLoss = await fleet.lose(lost, 'lost');
      figures['lostP50Ms'] = percentile(afterLoss, 0.5);
      figures['lostP99Ms'] = percentile(afterLoss, 0.99);
      figures['lostShards'] = afterLoss.length;

      const silent = range(lost.length, lost.length + Math.floor(count / 10));
      note(`silencing ${silent.length} lines`);
      const afterSilence = await fleet.lose(silent, 'silent');
      figures['silentP50Ms'] = percentile(afterSilence, 0.5);
      figures['silentP99Ms'] = percentile(afterSilence, 0.99);

      note(`killing the coordinator under ${count} running shards`);
      const alive = count - lost.length - silent.length;
      fleet.opened.clear();
      const runs = fleet.runs;
      await grid.coordinator.kill();
      const started = now();
      await grid.restartCoordinator();
      const ready = now();
      await until(() => everywhere.opened.size === alive, 'every device is back');
      figures['restartSeconds'] = rounded((ready - started) / 1_000);
      figures['recoveredSeconds'] = rounded((Math.max(...fleet.opened.values()) - ready) / 1_000);
      fleet.order({ order: 'finish' });
      await sealed(grid, job);
      figures['finishedSeconds'] = rounded((now() - ready) / 1_000);
      figures['notRunAgainPercent'] = rounded(100 * (1 - (fleet.runs - runs) / count));
      return findingsOf(figures);
    } finally {
      await fleet?.stop();
      await grid.end();
    }
  },
};

function findingsOf(figures: Record<string, number>): Findings {
  return {
    figures,
    ratios: {},
    targets: {
      lostP99Ms: { atMost: 250 },
      silentP99Ms: { atMost: 3_000 },
      recoveredSeconds: { atMost: 2 },
      notRunAgainPercent: { atLeast: 99 },
      cutsResumedInTime: { atLeast: figures['devices'] ?? Number.NaN },
      cutsRunAgain: { atMost: 0 },
    },
    absent: {},
  };
}

class Fleet {
  /** Devices that a shard was given to and that are not lost, the newest last. */
  readonly running = new Map<number, number[]>();
  /** When each device got its newest session. */
  readonly opened = new Map<number, number>();
  readonly resumeTimes: number[] = [];
  /** Devices whose line was resumed in time: one entry for each cut. */
  readonly inTime: number[] = [];
  /** Devices whose line is cut. On a busy machine some come back with a new session. */
  readonly cutNow = new Set<number>();
  runs = 0;
  readonly #child: ChildProcess;
  readonly #cutAt = new Map<number, number>();
  /** Lines that were not resumed in time once: their work may be leased to others. */
  readonly #late = new Set<number>();
  /** Shards that a device was given while another had them. */
  readonly #twice: { shard: number; first: number }[] = [];
  /** Shards that nobody has any more, and since when. */
  readonly #lost = new Map<number, number>();
  /** How long each took to be leased again. */
  #again: number[] = [];
  #cuts = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(grid: Grid, token: string, count: number): Promise<Fleet> {
    const program = path.join(import.meta.dirname, 'lease-agents.ts');
    const child = fork(program, [grid.url, token, String(count), String(SLOTS)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const fleet = new Fleet(child);
    const ready = Promise.withResolvers<void>();
    child.once('exit', (code) => ready.reject(new Error(`the devices' process ended with ${code}`)));
    child.on('message', (report: Report) => {
      if (report.report === 'ready') ready.resolve();
      else for (const event of report.events) fleet.#hear(event);
    });
    await ready.promise;
    return fleet;
  }

  #hear(event: LeaseEvent): void {
    switch (event.event) {
      case 'open':
        return this.#open(event.agent, event.at, event.resumed);
      case 'cut':
        this.#cuts += 1;
        this.#cutAt.set(event.agent, event.at);
        this.cutNow.add(event.agent);
        if (event.fault !== 'blip') this.#gone(event.agent, event.at);
        return;
      case 'over':
        return this.#over(event.agent, event.shard);
      case 'run':
        return this.#run(event.agent, event.shard, event.at);
    }
  }

  #open(agent: number, at: number, resumed: boolean): void {
    this.cutNow.delete(agent);
    if (!resumed) {
      this.#late.add(agent);
      return void this.opened.set(agent, at);
    }
    const ms = at - (this.#cutAt.get(agent) ?? 0);
    this.resumeTimes.push(ms);
    if (ms <= IN_TIME_MS) this.inTime.push(agent);
    else this.#late.add(agent);
  }

  #gone(agent: number, at: number): void {
    for (const [shard, devices] of this.running) {
      if (!devices.includes(agent)) continue;
      this.#over(agent, shard);
      if (devices.length === 0) this.#lost.set(shard, at);
    }
  }

  #over(agent: number, shard: number): void {
    const devices = this.running.get(shard);
    if (devices?.includes(agent) === true) devices.splice(devices.indexOf(agent), 1);
  }

  #run(agent: number, shard: number, at: number): void {
    this.runs += 1;
    const devices = this.running.get(shard) ?? [];
    const [first] = devices;
    if (first !== undefined) this.#twice.push({ shard, first });
    devices.push(agent);
    this.running.set(shard, devices);
    const lostAt = this.#lost.get(shard);
    if (lostAt === undefined) return;
    this.#lost.delete(shard);
    this.#again.push(at - lostAt);
  }

  /** Attempts that were run again although their device's line was always resumed in time. */
  runAgainInTime(): number {
    return this.#twice.filter(({ first }) => !this.#late.has(first)).length;
  }

  order(order: Order): void {
    this.#child.send(order);
  }

  async cut(agents: readonly number[], fault: Fault): Promise<void> {
    const due = this.#cuts + agents.length;
    for (let n = 0; n < agents.length; n += WAVE) {
      this.order({ order: 'cut', agents: agents.slice(n, n + WAVE), fault });
      await sleep(WAVE_MS);
    }
    await until(() => this.#cuts >= due, 'every line was cut');
  }

  /** For each shard of these devices how long it took to be given to another, in milliseconds. */
  async lose(agents: readonly number[], fault: Fault): Promise<number[]> {
    this.#again = [];
    await this.cut(agents, fault);
    await until(() => this.#lost.size === 0, 'every lost shard is leased again');
    return this.#again;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.removeAllListeners('message');
    this.#child.disconnect();
    await ended;
  }
}

async function submit(grid: Grid, count: number): Promise<string> {
  const module = await uploadWordCount(grid.client);
  const id = randomUUID();
  const spec = JobSpec.parse({ version: 1, name: 'leases', kind: 'wasm', module, args: ['{shard}'], shards: { count }, quorum: 1 });
  await grid.client.post('/api/jobs', { id, spec });
  return id;
}

async function sealed(grid: Grid, id: string): Promise<void> {
  const deadline = now() + LIMIT_MS;
  for (;;) {
    const job = (await grid.client.get(`/api/jobs/${id}`)) as JobSummary;
    if (job.state === 'done') return;
    if (job.state !== 'running' && job.state !== 'sealing') throw new Error(`the job is ${job.state}: ${job.reasons[0]?.reason}`);
    if (now() > deadline) throw new Error(`the job was not sealed: ${JSON.stringify(job.counts)}`);
    await sleep(POLL_MS);
  }
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  const deadline = now() + LIMIT_MS;
  while (!isSo()) {
    if (now() > deadline) throw new Error(`waited ${LIMIT_MS} ms in vain until ${what}`);
    await sleep(10);
  }
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, n) => from + n);
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return rounded(sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? Number.NaN);
}
