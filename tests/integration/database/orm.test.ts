import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineEntity, p } from '@mikro-orm/core';
import { Migration } from '@mikro-orm/migrations';
import type { MikroORM } from '@mikro-orm/postgresql';
import { sql } from 'kysely';
import { expect, it, onTestFinished } from 'vitest';
import { clusterFolder } from '#runtime/database/embedded/cluster-folder.ts';
import { postgresIn } from '#runtime/database/embedded/processes.ts';
import { type Database, openDatabase } from '#runtime/database/open-database.ts';
import { migrate, openOrm } from '#runtime/database/orm.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { logRecord } from '#tests/support/log-record.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

const Entry = defineEntity({
  name: 'Entry',
  tableName: 'entries',
  properties: { id: p.integer().primary(), at: p.bigint('number'), tags: p.json<string[]>() },
});

class First extends Migration {
  override up(): void {
    this.addSql('create table entries (id int primary key, at bigint not null, tags jsonb not null)');
    this.addSql('select pg_sleep(0.2)');
  }
}

class Second extends Migration {
  override up(): void {
    this.addSql("insert into entries values (1, 1767225600000, '[]')");
  }
}

class Broken extends Migration {
  override up(): void {
    this.addSql('create table half (id int)');
    this.addSql('select 1 / 0');
  }
}

const migrations = [
  { name: 'first', class: First },
  { name: 'second', class: Second },
];

async function database(): Promise<Database> {
  const opened = await openDatabase({ dataFolder: await temporaryFolder('orm'), log: logRecord() });
  onTestFinished(() => opened.close());
  return opened;
}

async function orm(url: string, list: Parameters<typeof openOrm>[0]['migrations'] = migrations): Promise<MikroORM> {
  const opened = await openOrm({ url, entities: [Entry], migrations: list, log: logRecord() });
  onTestFinished(() => opened.close(true));
  return opened;
}

it('many starters at once: one migrates, the others wait and find nothing to do', async () => {
  const { url } = await database();
  const starters = await Promise.all(Array.from({ length: 5 }, () => orm(url)));
  const applied = await Promise.all(starters.map(migrate));
  expect(applied.toSorted((a, b) => b.length - a.length)).toEqual([['first', 'second'], [], [], [], []]);
  expect(await starters[0]?.em.fork().count(Entry)).toBe(1);
});

it('a starter waits for the lock, and gets it when its holder dies', async () => {
  const { url } = await database();
  const holder = await connectSql(url, 2_000);
  await holder.query('begin; select pg_advisory_xact_lock(7165071359267203428)');
  const waiting = await orm(url);
  let done = false;
  const applied = migrate(waiting).finally(() => (done = true));
  const watcher = await connectSql(url, 2_000);
  const waits = async (): Promise<boolean> =>
    (await watcher.query("select 1 from pg_locks where locktype = 'advisory' and not granted")).length === 1;
  await waitUntil('the starter waits', waits);
  expect(done).toBe(false);
  await watcher.query("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted");
  expect(await applied).toEqual(['first', 'second']);
  await Promise.all([holder.close(), watcher.close()]);
});

it('a migration that fails takes all of its run with it, and frees the lock', async () => {
  const { url } = await database();
  await expect(migrate(await orm(url, [...migrations, { name: 'third', class: Broken }]))).rejects.toMatchObject({ code: '22012' });
  const healthy = await orm(url);
  const tables = await healthy.em.fork().getConnection().execute("select 1 from pg_tables where tablename in ('entries', 'half')");
  expect(tables).toEqual([]);
  expect(await migrate(healthy)).toEqual(['first', 'second']);
});

it('values: bigint as a number or not at all, arrays through kysely, entities whole', async () => {
  const { url } = await database();
  const opened = await orm(url);
  await migrate(opened);
  const em = opened.em.fork();
  em.create(Entry, { id: 2, at: 1_767_225_600_123, tags: ['a', "it's"] });
  await em.flush();
  expect(await opened.em.fork().findOne(Entry, { id: 2 })).toMatchObject({ id: 2, at: 1_767_225_600_123, tags: ['a', "it's"] });
  const kysely = opened.em.fork().getKysely();
  const { rows } = await sql`select at, count(*) over () as rows from entries where id = any(${[1, 2]}::int[]) order by id`.execute(kysely);
  expect(rows).toEqual([
    { at: 1_767_225_600_000, rows: 2 },
    { at: 1_767_225_600_123, rows: 2 },
  ]);
  await expect(sql`select 9007199254740993::bigint as big`.execute(kysely)).rejects.toThrow('does not fit');
  expect((await sql`select 1 as one`.execute(kysely)).rows, 'the connection is still good').toEqual([{ one: 1 }]);
});

it('the settings of the address count, and the pool has its size', async () => {
  const { url } = await database();
  const opened = await openOrm({
    url: `${url}?options=-c%20statement_timeout%3D4242`,
    entities: [],
    migrations: [],
    log: logRecord(),
    poolSize: 3,
  });
  onTestFinished(() => opened.close(true));
  const connection = opened.em.fork().getConnection();
  expect(await connection.execute("select current_setting('statement_timeout') as timeout")).toEqual([{ timeout: '4242ms' }]);
  await Promise.all(Array.from({ length: 12 }, () => connection.execute('select pg_sleep(0.02)')));
  const [used] = await connection.execute<{ connections: number }[]>(
    "select count(*) as connections from pg_stat_activity where application_name = 'corpgrid'",
  );
  expect(used).toEqual({ connections: 3 });
});

it('the MikroORM command line starts the embedded database for as long as a command takes', async () => {
  const folder = await temporaryFolder('cli');
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  const { DATABASE_URL: _, ...environment } = process.env;
  const command = async (...words: string[]): Promise<{ status: unknown; output: string }> => {
    const child = spawn(process.execPath, [path.join(root, 'node_modules/@mikro-orm/cli/cli.js'), ...words], {
      cwd: folder,
      env: { ...environment, MIKRO_ORM_ALLOW_GLOBAL_CLI: '1', MIKRO_ORM_CLI_CONFIG: path.join(root, 'mikro-orm.config.ts'), NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (text: Buffer) => (output += text.toString()));
    child.stderr.on('data', (text: Buffer) => (output += text.toString()));
    const [status] = (await once(child, 'close')) as [unknown];
    return { status, output };
  };
  expect(await command('migration:up')).toMatchObject({ status: 0, output: expect.stringContaining('Successfully migrated') });
  expect(await command('migration:check')).toMatchObject({ status: 0, output: expect.stringContaining('up-to-date') });
  const { data } = clusterFolder(path.join(folder, 'data'));
  await waitUntil('its server has ended', async () => (await postgresIn(data)).length === 0);
  expect(await readdir(data)).not.toContain('postmaster.pid');
});
