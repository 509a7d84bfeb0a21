import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { entities } from '#actors/store/entities.ts';
import { migrations } from '#actors/store/migrations.ts';
import { partitionOfEntity } from '#runtime/cluster/assignment.ts';
import { openDatabase } from '#runtime/database/open-database.ts';
import { migrate, openOrm } from '#runtime/database/orm.ts';
import { connectSql, type SqlClient } from '#runtime/database/sql-client.ts';
import { readCounter } from '#tests/support/counter-entity.ts';

import { type Benchmark, rounded } from './benchmark.ts';
import { BENCH_PARTITIONS } from './bench-partitions.ts';
import type { Order, Report } from './cluster-process.ts';

const ENTITIES = Array.from({ length: 200 }, (_, n) => `entity-${n}`);
const PROCESS = path.join(import.meta.dirname, 'cluster-process.ts');
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** How a node ends, and with how many others beside it. */
interface Scenario {
  readonly name: string;
  readonly nodes: number;
  readonly end: 'stop' | 'kill' | 'freeze';
  readonly watchMs: number;
  readonly targetMs: number;
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'stopOfTwo', nodes: 2, end: 'stop', watchMs: 3_000, targetMs: 300 },
  { name: 'stopOfThree', nodes: 3, end: 'stop', watchMs: 3_000, targetMs: 300 },
  { name: 'killOfTwo', nodes: 2, end: 'kill', watchMs: 4_000, targetMs: 1_500 },
  { name: 'killOfThree', nodes: 3, end: 'kill', watchMs: 4_000, targetMs: 1_500 },
  { name: 'freezeOfThree', nodes: 3, end: 'freeze', watchMs: 6_000, targetMs: 3_000 },
  { name: 'freezeOfTwo', nodes: 2, end: 'freeze', watchMs: 9_000, targetMs: 7_000 },
];

/** A node's process. */
class Node {
  readonly id: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  constructor(id: string, databaseUrl: string) {
    this.id = id;
    this.#child = fork(PROCESS, [id, databaseUrl], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#ended = new Promise((resolve) => this.#child.once('exit', resolve));
  }

  async hear<K extends Report['report']>(kind: K, order?: Order): Promise<Extract<Report, { report: K }>> {
    const heard = new Promise<Extract<Report, { report: K }>>((resolve, reject) => {
      const listen = (report: Report): void => {
        if (report.report !== kind) return;
        this.#child.off('message', listen);
        resolve(report as Extract<Report, { report: K }>);
      };
      this.#child.on('message', listen);
      void this.#ended.then(() => reject(new Error(`node ${this.id} ended`)));
    });
    if (order !== undefined) this.tell(order);
    return heard;
  }

  tell(order: Order): void {
    this.#child.send(order);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child.kill(signal);
    await this.#ended;
  }
}

/** Entities that the victim owned, by how long nobody answered for them: first answer at a new epoch, after the fault. */
function outages(
  times: Extract<Report, { report: 'times' }>['times'],
  victims: readonly string[],
  begun: number,
  graceful: boolean,
): number[] {
  return victims.map((entity) => {
    const answers = times[entity] ?? [];
    const before = answers.findLast(({ at }) => at < begun);
    const first = answers.find(({ at, epoch }) => at >= begun && epoch > (before?.epoch ?? 0));
    if (first === undefined) return Number.POSITIVE_INFINITY;
    // A node that is stopped answers on until it hands an entity over.
    const from = graceful ? (answers.findLast(({ at, epoch }) => at < first.at && epoch < first.epoch)?.at ?? begun) : begun;
    return first.at - Math.max(from, begun);
  });
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.POSITIVE_INFINITY;
}

/** Every write of an entity that the database took, in its order: the epochs must never fall. */
const AUDIT = `
  create table bench_writes (n bigserial primary key, id text, epoch bigint, version bigint);
  create function bench_audit() returns trigger language plpgsql as $$
    begin insert into bench_writes (id, epoch, version) values (new.id, new.epoch, new.version); return new; end $$;
  create trigger bench_audit after update of state on cluster_entities for each row execute function bench_audit();`;
const STALE = `
  select count(*)::int as stale from (
    select epoch, version, lag(epoch) over w as epoch_before, lag(version) over w as version_before
    from bench_writes window w as (partition by id order by n)
  ) pairs where epoch < epoch_before or version <> version_before + 1`;

async function staleWrites(sql: SqlClient): Promise<number> {
  const [row] = await sql.query<{ stale: number }>(STALE);
  return row?.stale ?? Number.NaN;
}

export const failover: Benchmark = {
  about: 'how long nobody answers for 200 entities of a cluster when a node is stopped, killed or frozen; stale writes in the database',
  async run({ quick, note }) {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-failover-'));
    const server = await openDatabase({ dataFolder: folder, url: undefined, log: quiet });
    const orm = await openOrm({ url: server.url, entities, migrations, log: quiet });
    await migrate(orm);
    await orm.close();
    const sql = await connectSql(server.url, 10_000);
    await sql.query(AUDIT);
    const nodes = new Set<Node>();
    let started = 0;
    const figures: Record<string, number> = {};
    const targets: Record<string, { atMost: number }> = {};
    let lostAcknowledged = 0;

    async function startNode(): Promise<Node> {
      const node = new Node(`node-${(started += 1)}-${process.pid}`, server.url);
      nodes.add(node);
      await node.hear('ready');
      return node;
    }

    async function round({ nodes: count, end, watchMs, name }: Scenario): Promise<number[]> {
      const alive = [await startNode()];
      while (alive.length < count) alive.push(await startNode());
      const [observer, victim] = alive;
      if (observer === undefined || victim === undefined) throw new Error('a scenario needs two nodes');
      await sleep(1_500);
      observer.tell({ order: 'load', ids: ENTITIES });
      await sleep(3_000);
      const owned = new Set((await victim.hear('owned', { order: 'owned' })).partitions);
      const victims = ENTITIES.filter((entity) => owned.has(partitionOfEntity(entity, BENCH_PARTITIONS)));
      const begun = performance.timeOrigin + performance.now();
      if (end === 'stop') void victim.end('SIGTERM');
      else victim.signal(end === 'kill' ? 'SIGKILL' : 'SIGSTOP');
      await sleep(watchMs);
      if (end === 'freeze') {
        // It wakes with writes in hand, and finds out that it was declared dead.
        victim.signal('SIGCONT');
        await sleep(2_000);
      }
      const { times, counted } = await observer.hear('times', { order: 'times' });
      const gone = outages(times, victims, begun, end === 'stop');
      note(`${name}: ${victims.length} entities, p50 ${percentile(gone, 0.5).toFixed(0)} ms, max ${Math.max(...gone).toFixed(0)} ms`);
      await Promise.all(alive.map((node) => node.end('SIGKILL')));
      for (const node of alive) nodes.delete(node);
      const rows = await sql.query<{ id: string; state: Buffer | null }>('select id, state from cluster_entities');
      for (const { id, state } of rows) if ((readCounter(state).last[observer.id] ?? 0) < (counted[id] ?? 0)) lostAcknowledged += 1;
      return gone;
    }

    try {
      for (const scenario of SCENARIOS) {
        const gone: number[] = [];
        for (let n = 0; n < (quick ? 1 : 5); n++) gone.push(...(await round(scenario)));
        figures[`${scenario.name}P50Ms`] = rounded(percentile(gone, 0.5));
        figures[`${scenario.name}P99Ms`] = rounded(percentile(gone, 0.99));
        targets[`${scenario.name}P99Ms`] = { atMost: scenario.targetMs };
      }
      const [writes] = await sql.query<{ n: number }>('select count(*)::int as n from bench_writes');
      figures['writes'] = writes?.n ?? 0;
      figures['staleWrites'] = await staleWrites(sql);
      figures['lostAcknowledgedWrites'] = lostAcknowledged;
      targets['staleWrites'] = { atMost: 0 };
      targets['lostAcknowledgedWrites'] = { atMost: 0 };
    } finally {
      await Promise.all([...nodes].map((node) => node.end('SIGKILL')));
      await sql.close();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
    return { figures, ratios: {}, targets, absent: {} };
  },
};
