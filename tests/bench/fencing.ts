import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { createCluster } from '#runtime/cluster/cluster.ts';
import { createMemoryCluster } from '#runtime/cluster/memory/memory-cluster.ts';
import { sliceHost } from '#runtime/cluster/slices.ts';
import { openDatabase } from '#runtime/database/open-database.ts';
import { connectSql, type SqlClient } from '#runtime/database/sql-client.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import type { Log } from '#runtime/observe/log.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

import { type Benchmark, median, rounded } from './benchmark.ts';

const ROWS = 1_000;
const SECONDS = 120;
const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => SILENT };
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** The statements of the cluster's own stores, inside of one server call, so that no client and no disk is measured. */
const SETUP = `
  create table bench_plain (kind text, id text, partition smallint, epoch bigint, version bigint, state bytea, primary key (kind, id)) with (fillfactor = 50);
  insert into bench_plain select 'k', n::text, n % 256, 5, 0, '\\x00'::bytea from generate_series(1, ${ROWS}) n;
  create table bench_fenced (like bench_plain including all) with (fillfactor = 50);
  insert into bench_fenced select * from bench_plain;
  analyze;`;

function timed(statement: string, rounds: number): string {
  return `do $$ declare begun timestamptz; n int; begin
    begun := clock_timestamp();
    for n in 1..${rounds} loop ${statement} end loop;
    perform set_config('bench.ms', (extract(epoch from clock_timestamp() - begun) * 1000)::text, false);
  end $$`;
}

const PLAIN = `update bench_plain set version = version + 1, state = '\\x01'::bytea where kind = 'k' and id = (1 + n % ${ROWS})::text;`;
/** Epoch and version as in the entity store: the version is the one that the row has, so that every write is taken. */
const FENCED = `update bench_fenced set version = version + 1, state = '\\x01'::bytea
  where kind = 'k' and id = (1 + n % ${ROWS})::text and epoch = 5 and version = (n - 1) / ${ROWS};`;
/** Statements per second by which one node keeps its lease, of a cluster with so many partitions: the real code in virtual time. */
async function leaseStatements(partitions: number): Promise<number> {
  const host = virtualHost(1);
  const slices = sliceHost(host);
  const system = createSystem({ name: 'bench', host: slices.host });
  const { store } = createMemoryCluster(host.clock, partitions);
  let renewals = 0;
  const cluster = createCluster({
    host,
    slices,
    system,
    store: {
      ...store,
      renew(life, ttlMs) {
        renewals += 1;
        return store.renew(life, ttlMs);
      },
    },
    node: { id: 'a', address: 'a', host: 'bench', weight: 1 },
    key: generateKeyPair(),
    partitions,
    hosts: new Map(),
    protocols: [],
    log: SILENT,
    dial() {
      throw new Error('there is nobody to dial');
    },
  });
  const begun = cluster.start();
  await host.advance(SECONDS * 1_000);
  await begun;
  if (cluster.owned.size !== partitions) throw new Error('the node does not own what it should');
  const perSecond = renewals / SECONDS;
  const ended = cluster.stop().then(() => system.shutdown());
  await host.advance(5_000);
  await ended;
  return perSecond;
}

async function measure(sql: SqlClient, statement: string, rounds: number): Promise<number> {
  await sql.query('vacuum bench_plain, bench_fenced');
  await sql.query(timed(statement, rounds));
  const [row] = await sql.query<{ ms: string }>("select current_setting('bench.ms') as ms");
  return (Number(row?.ms) * 1_000) / rounds;
}

export const fencing: Benchmark = {
  about: 'what an epoch in a write costs the database server, and what a lease costs with few and with many partitions',
  async run({ quick, note }) {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-fencing-'));
    const server = await openDatabase({ dataFolder: folder, url: undefined, log: quiet });
    const sql = await connectSql(server.url, 10_000);
    try {
      await sql.query(SETUP);
      const writes = ROWS * (quick ? 4 : 10);
      const plain: number[] = [];
      const fenced: number[] = [];
      const ratios: number[] = [];
      for (let round = 0, rounds = quick ? 9 : 25; round < rounds; round++) {
        // Every write finds its version: all begin anew at 0, on pages that were just as used.
        await sql.query('update bench_fenced set version = 0; update bench_plain set version = 0;');
        // By turns, so that whatever disturbs the machine disturbs both.
        const order = round % 2 === 0;
        const first = await measure(sql, order ? PLAIN : FENCED, writes);
        const second = await measure(sql, order ? FENCED : PLAIN, writes);
        const [p, f] = order ? [first, second] : [second, first];
        plain.push(p);
        fenced.push(f);
        ratios.push(f / p);
        note(`round ${round + 1}: plain ${p.toFixed(1)} us, fenced ${f.toFixed(1)} us`);
      }
      const few = await leaseStatements(16);
      const many = await leaseStatements(256);
      return {
        figures: {
          plainWriteMicroseconds: rounded(median(plain)),
          fencedWriteMicroseconds: rounded(median(fenced)),
          leaseStatementsPerSecondOf16Partitions: rounded(few),
          leaseStatementsPerSecondOf256Partitions: rounded(many),
        },
        ratios: { fencedToPlain: rounded(median(ratios)), leaseOf256To16: rounded(many / few) },
        targets: {
          fencedToPlain: { atMost: 1.05 },
          leaseOf256To16: { atMost: 1 },
          leaseStatementsPerSecondOf256Partitions: { atMost: 0.5 },
        },
        absent: {},
      };
    } finally {
      await sql.close();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
};
