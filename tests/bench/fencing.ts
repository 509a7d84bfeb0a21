import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely';

import { entities } from '#actors/store/entities.ts';
import { migrations } from '#actors/store/migrations.ts';
import { holdEpochs } from '#actors/store/postgres/hold-epochs.ts';
import { createCluster } from '#runtime/cluster/cluster.ts';
import { createMemoryCluster } from '#runtime/cluster/memory/memory-cluster.ts';
import { createPostgresEntityStore } from '#runtime/cluster/postgres/entity-store.ts';
import { sliceHost } from '#runtime/cluster/slices.ts';
import { openDatabase } from '#runtime/database/open-database.ts';
import { migrate, openOrm } from '#runtime/database/orm.ts';
import { connectSql, type SqlClient } from '#runtime/database/sql-client.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import type { Log } from '#runtime/observe/log.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

import { type Benchmark, median, rounded } from './benchmark.ts';

const ROWS = 2_000;
/** Rows that one transaction of many writes changes, as the ledger's do. */
const BATCH = 500;
const SECONDS = 120;
const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => SILENT };
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** What the stores send for one call, word by word: nothing is measured that they do not write. */
async function statementsOf(call: (db: Kysely<unknown>) => Promise<unknown>): Promise<readonly string[]> {
  const statements: string[] = [];
  const db = new Kysely<unknown>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (of) => new PostgresIntrospector(of),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
    log: ({ query }) => void statements.push(query.sql.trim()),
  });
  await call(db);
  return statements;
}

const FENCE = ' and epoch = at_epoch and version = at_version';
/** In the order of the entity store's statement. */
const PARAMETERS = `'k', (1 + n % ${ROWS})::text, 5::bigint, expected, '\\x01'::bytea`;

interface Kind {
  readonly plain: string;
  readonly fenced: string;
}

const execute = (statement: string, parameters: string): string => `execute '${statement.replaceAll("'", "''")}' using ${parameters};`;

/** One row, one transaction. `plain`: the same function without its fence, and a bare statement, each planned as it comes from the driver. */
async function entityWrites(sql: SqlClient): Promise<{ function: Kind; statement: Kind }> {
  const [fenced = ''] = await statementsOf((db) =>
    createPostgresEntityStore(db).write({ kind: 'k', id: '1', partition: 1 }, { epoch: 5, version: 0 }, new Uint8Array(1)),
  );
  const [source] = await sql.query<{ text: string }>("select pg_get_functiondef('cluster_write'::regproc) as text");
  const plainSource = source?.text.replace('cluster_write', 'plain_write').replace(FENCE, '') ?? '';
  if (!fenced.includes('cluster_write') || plainSource.length + FENCE.length + 2 !== source?.text.length)
    throw new Error('the write of the entity store has changed: it has no fence where one is looked for');
  await sql.query(plainSource);
  const run = (statement: string): string => `for n in 1..${ROWS} loop ${execute(statement, PARAMETERS)} commit; end loop;`;
  const bare = 'update cluster_entities set version = version + 1, state = $5 where kind = $1 and id = $2';
  return {
    function: { plain: run(fenced.replace('cluster_write', 'plain_write')), fenced: run(fenced) },
    statement: { plain: run(bare), fenced: run(fenced) },
  };
}

/** Many rows in one transaction: the fence is one shared lock on the partitions, taken before. */
async function batchWrites(): Promise<Kind> {
  const [hold = ''] = await statementsOf((db) => db.transaction().execute((tx) => holdEpochs(tx, [[1, 5]]).catch(() => undefined)));
  const update = `update cluster_entities e set version = version + 1, state = c.state
    from unnest(array(select (1 + (n * ${BATCH} + i) % ${ROWS})::text from generate_series(1, ${BATCH}) i), array_fill('\\x01'::bytea, array[${BATCH}])) c (id, state)
    where e.kind = 'k' and e.id = c.id;`;
  const fence = execute(hold, 'array[1, 2, 3, 4]');
  const run = (before: string): string => `for n in 1..${ROWS / BATCH} loop ${before} ${update} commit; end loop;`;
  return { plain: run(''), fenced: run(fence) };
}

const SETUP = [
  'delete from cluster_entities',
  `insert into cluster_entities (kind, id, partition, epoch, version, state)
     select 'k', n::text, n % 256, 5, 0, '\\x00'::bytea from generate_series(1, ${ROWS}) n`,
  'alter table cluster_entities set (autovacuum_enabled = off)',
  'vacuum analyze cluster_entities',
  // What a commit costs the processor, not the disk.
  'set synchronous_commit = off',
];

/** Microseconds of the server for one write; inside of one call, so that no client is measured. */
async function measure(sql: SqlClient, loop: string, version: number): Promise<number> {
  await sql.query(`do $$ declare begun timestamptz; n int; expected bigint := ${version}; begin
    begun := clock_timestamp();
    ${loop}
    perform set_config('bench.us', (extract(epoch from clock_timestamp() - begun) * 1000000)::text, false);
  end $$`);
  const [row] = await sql.query<{ us: string; wrong: string }>(
    `select current_setting('bench.us') as us, (select count(*) from cluster_entities where version <> ${version + 1}) as wrong`,
  );
  // A fence that refused everything would be cheap.
  if (Number(row?.wrong) !== 0) throw new Error(`${row?.wrong} of ${ROWS} writes did not happen`);
  return Number(row?.us) / ROWS;
}

interface Compared {
  readonly plain: number;
  readonly fenced: number;
  readonly ratio: number;
}

/** Pairs of short runs right after each other, so that whatever disturbs the machine disturbs both; of their ratios the middle. */
async function compare(sql: SqlClient, kind: Kind, pairs: number): Promise<Compared> {
  await sql.query('update cluster_entities set version = 0');
  const plain: number[] = [];
  const fenced: number[] = [];
  const ratios: number[] = [];
  let version = 0;
  const run = (loop: string): Promise<number> => measure(sql, loop, version++);
  for (let pair = 0; pair < pairs; pair++) {
    await sql.query('vacuum cluster_entities');
    const order = pair % 2 === 0;
    const first = await run(order ? kind.plain : kind.fenced);
    const second = await run(order ? kind.fenced : kind.plain);
    const [p, f] = order ? [first, second] : [second, first];
    plain.push(p);
    fenced.push(f);
    ratios.push(f / p);
  }
  return { plain: median(plain), fenced: median(fenced), ratio: median(ratios) };
}

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

export const fencing: Benchmark = {
  about: 'what an epoch in a write costs the database server, and what a lease costs with few and with many partitions',
  async run({ quick, note }) {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-fencing-'));
    const server = await openDatabase({ dataFolder: folder, url: undefined, log: quiet });
    const orm = await openOrm({ url: server.url, entities, migrations, log: SILENT });
    await migrate(orm);
    await orm.close();
    const sql = await connectSql(server.url, 10_000);
    try {
      for (const statement of SETUP) await sql.query(statement);
      const pairs = quick ? 40 : 200;
      note(`${pairs} pairs of ${ROWS} entity writes, each its own transaction`);
      const kinds = await entityWrites(sql);
      const entity = await compare(sql, kinds.function, pairs);
      const statement = await compare(sql, kinds.statement, pairs);
      note(`${pairs} pairs of ${ROWS} writes, ${BATCH} to a transaction`);
      const batch = await compare(sql, await batchWrites(), pairs);
      const few = await leaseStatements(16);
      const many = await leaseStatements(256);
      return {
        figures: {
          plainWriteMicroseconds: rounded(entity.plain),
          fencedWriteMicroseconds: rounded(entity.fenced),
          plainStatementMicroseconds: rounded(statement.plain),
          plainBatchWriteMicroseconds: rounded(batch.plain),
          fencedBatchWriteMicroseconds: rounded(batch.fenced),
          leaseStatementsPerSecondOf16Partitions: rounded(few),
          leaseStatementsPerSecondOf256Partitions: rounded(many),
        },
        ratios: {
          fencedToPlain: rounded(entity.ratio),
          /** Of a bare update, planned each time: what the store would send without a fence. */
          fencedToPlainStatement: rounded(statement.ratio),
          /** One bare update of many rows; a commit of the ledger does several times as much beside its one lock. */
          fencedBatchToPlain: rounded(batch.ratio),
          leaseOf256To16: rounded(many / few),
        },
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
