import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { withDatabaseRetry } from '#runtime/database/connection-errors.ts';
import { readPostmasterPid } from '#runtime/database/embedded/postmaster-pid.ts';
import { isAlive, postgresIn } from '#runtime/database/embedded/processes.ts';
import { openDatabase } from '#runtime/database/open-database.ts';
import { migrate, openOrm } from '#runtime/database/orm.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { realHost } from '#runtime/host.ts';
import { logRecord } from '#tests/support/log-record.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const host = realHost();

async function open() {
  const dataFolder = await temporaryFolder('supervised');
  const data = path.join(dataFolder, 'pg18');
  const log = logRecord();
  const database = await openDatabase({ dataFolder, log });
  const orm = await openOrm({ url: database.url, entities: [], migrations: [], log });
  const seen: string[] = [];
  database.onLost(() => seen.push('lost'));
  database.onBack(() => seen.push('back'));
  onTestFinished(async () => {
    await orm.close(true);
    await database.close();
    expect(await postgresIn(data)).toEqual([]);
  });
  const execute = <Row>(statement: string): Promise<Row[]> => orm.em.fork().getConnection().execute<Row[]>(statement);
  const server = async (): Promise<number> => (await readPostmasterPid(data))?.pid ?? 0;
  const back = (): Promise<void> => new Promise((resolve) => void database.onBack(resolve));
  return { database, data, log, seen, execute, server, back };
}

it('a killed server comes back on the same port, and clients that retry go on with all that was committed', async () => {
  const { database, seen, execute, server, back } = await open();
  await execute('create table counted (n int primary key)');
  const first = await server();
  const returned = back();
  for (let n = 1; n <= 60; n += 1) {
    if (n === 20) process.kill(first, 'SIGKILL');
    await withDatabaseRetry(() => execute(`insert into counted values (${n}) on conflict do nothing`), { host });
  }
  await returned;
  expect(seen).toEqual(['lost', 'back']);
  expect(await server()).not.toBe(first);
  expect(await execute('select count(*) as rows, sum(n)::int as sum from counted')).toEqual([{ rows: 60, sum: 1_830 }]);
  await (await connectSql(database.url, 2_000)).close();
});

it('a killed backend drops all connections; the server recovers by itself, and callers are told', async () => {
  const { seen, execute, server, back } = await open();
  await execute('create table kept as select 1 as value');
  const main = await server();
  const [backend] = await execute<{ pid: number }>('select pg_backend_pid() as pid');
  const returned = back();
  process.kill(backend?.pid ?? 0, 'SIGKILL');
  expect(await withDatabaseRetry(() => execute('select value from kept'), { host })).toEqual([{ value: 1 }]);
  await returned;
  expect(seen).toEqual(['lost', 'back']);
  expect(await server(), 'the main process lived on').toBe(main);
});

it.runIf(process.platform === 'linux')(
  'a busy child that outlives its killed server does not keep the next one from starting',
  async () => {
    const { database, data, log, execute, server, back } = await open();
    const client = await connectSql(database.url, 2_000);
    const [busy] = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const work = client.query('select count(*) from generate_series(1, 100000000000) as n').then(
      () => 'finished',
      () => 'failed',
    );
    await withDatabaseRetry(
      async () => {
        const active = await execute(`select 1 from pg_stat_activity where pid = ${busy?.pid ?? 0} and state = 'active'`);
        if (active.length === 0) throw Object.assign(new Error('not yet'), { code: '40001' });
      },
      { host },
    );
    const returned = back();
    process.kill(await server(), 'SIGKILL');
    await returned;
    expect(await work).toBe('failed');
    await client.close();
    expect(isAlive(busy?.pid ?? 0)).toBe(false);
    expect(log.lines.filter((line) => line.includes('A process of an earlier PostgreSQL is ended.')).join('\n')).toContain(
      String(busy?.pid),
    );
    expect((await postgresIn(data)).length).toBeGreaterThan(0);
  },
);

it('a server that is killed again and again comes back each time', async () => {
  const { seen, server, back } = await open();
  for (let round = 0; round < 3; round += 1) {
    const returned = back();
    process.kill(await server(), 'SIGKILL');
    await returned;
  }
  expect(seen).toEqual(['lost', 'back', 'lost', 'back', 'lost', 'back']);
});

it('close during an outage ends everything', async () => {
  const { database, data, server } = await open();
  const lost = new Promise<void>((resolve) => void database.onLost(resolve));
  process.kill(await server(), 'SIGKILL');
  await lost;
  await database.close();
  expect(await postgresIn(data)).toEqual([]);
});

it('an idle pool survives the loss of its server without a crash, and migrate works afterwards', async () => {
  const { database, log, execute, server, back } = await open();
  await Promise.all([1, 2, 3].map(() => execute('select pg_sleep(0.05)')));
  const returned = back();
  process.kill(await server(), 'SIGKILL');
  await returned;
  expect(log.lines.filter((line) => line.includes('An idle database connection was lost')).length).toBeGreaterThan(0);
  const orm = await openOrm({ url: database.url, entities: [], migrations: [], log });
  expect(await withDatabaseRetry(() => migrate(orm), { host })).toEqual([]);
  await orm.close(true);
});
