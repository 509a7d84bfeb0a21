import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { clusterFolder } from '#runtime/database/embedded/cluster-folder.ts';
import { readPostmasterPid } from '#runtime/database/embedded/postmaster-pid.ts';
import { postgresIn } from '#runtime/database/embedded/processes.ts';
import { runningUrl } from '#runtime/database/embedded/running-url.ts';
import { type Database, openDatabase } from '#runtime/database/open-database.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { logRecord } from '#tests/support/log-record.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

/** Opens it for the running test; at its end it is closed, and no process of it is left. */
async function open(dataFolder: string): Promise<Database> {
  const database = await openDatabase({ dataFolder, log: logRecord() });
  onTestFinished(async () => {
    await database.close();
    expect(await postgresIn(clusterFolder(dataFolder).data)).toEqual([]);
  });
  return database;
}

async function query<Row extends object>(url: string, statement: string): Promise<readonly Row[]> {
  const client = await connectSql(url, 5_000);
  try {
    return await client.query<Row>(statement);
  } finally {
    await client.close();
  }
}

it('a first start makes a cluster below a folder that only its owner may enter, and keeps what it is told', async () => {
  const root = await temporaryFolder('first');
  const dataFolder = path.join(root, 'data');
  const database = await open(dataFolder);
  expect(database.kind).toBe('embedded');
  const [settings] = await query(
    database.url,
    `select current_setting('server_version') as version, current_setting('fsync') as fsync, current_setting('data_checksums') as checksums,
      current_setting('listen_addresses') as listens, current_setting('password_encryption') as passwords, current_setting('server_encoding') as encoding`,
  );
  expect(settings).toEqual({
    version: '18.4',
    fsync: 'on',
    checksums: 'on',
    listens: '127.0.0.1',
    passwords: 'scram-sha-256',
    encoding: 'UTF8',
  });
  expect((await stat(dataFolder)).mode & 0o777).toBe(0o700);
  expect((await stat(path.join(dataFolder, 'pg18.secret'))).mode & 0o777).toBe(0o600);
  expect(await readFile(path.join(dataFolder, 'pg18', 'pg_hba.conf'), 'utf8')).not.toMatch(/^(local|host)[^#]*\b(trust|md5|peer)\b/m);
  await query(database.url, 'create table kept (value int); insert into kept values (42)');
  await database.close();

  const left = await readdir(dataFolder);
  expect(left.toSorted()).toEqual(['pg18', 'pg18.json', 'pg18.log', 'pg18.secret']);
  expect(await readPostmasterPid(path.join(dataFolder, 'pg18'))).toBeNull();
  await expect(connectSql(database.url, 1_000)).rejects.toMatchObject({ code: 'ECONNREFUSED' });

  const again = await open(dataFolder);
  expect(again.url, 'the same port and password').toBe(database.url);
  expect(await query(again.url, 'select value from kept')).toEqual([{ value: 42 }]);
});

it('a wrong password is refused', async () => {
  const { url } = await open(await temporaryFolder('password'));
  const wrong = new URL(url);
  wrong.password = 'wrong';
  await expect(connectSql(wrong.href, 2_000)).rejects.toMatchObject({ code: '28P01' });
});

it('a password file that does not fit the cluster is named, and nothing is left running', async () => {
  const dataFolder = await temporaryFolder('secret');
  await (await open(dataFolder)).close();
  const secret = path.join(dataFolder, 'pg18.secret');
  const right = await readFile(secret, 'utf8');
  await writeFile(secret, 'something else');
  await expect(openDatabase({ dataFolder, log: logRecord() })).rejects.toMatchObject({ code: 'DATABASE', path: secret });
  await writeFile(secret, '');
  await expect(openDatabase({ dataFolder, log: logRecord() })).rejects.toMatchObject({
    code: 'DATABASE',
    path: secret,
    message: expect.stringContaining('missing'),
  });
  expect(await postgresIn(path.join(dataFolder, 'pg18'))).toEqual([]);
  await writeFile(secret, right);
  await open(dataFolder);
});

it('the files of another major version are refused with both versions named', async () => {
  const dataFolder = await temporaryFolder('version');
  await (await open(dataFolder)).close();
  const file = path.join(dataFolder, 'pg18', 'PG_VERSION');
  await writeFile(file, '17\n');
  await expect(openDatabase({ dataFolder, log: logRecord() })).rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringMatching(/PostgreSQL 17.*PostgreSQL 18/),
    fix: expect.stringContaining('export'),
  });
  expect(await readdir(dataFolder)).not.toContain('pg18.owner');
  await writeFile(file, '18\n');
  await open(dataFolder);
});

it('a folder that is no cluster is refused and left alone', async () => {
  const dataFolder = await temporaryFolder('other');
  await writeFile(path.join(dataFolder, 'pg18'), 'my notes');
  await expect(openDatabase({ dataFolder, log: logRecord() })).rejects.toMatchObject({ code: 'DATABASE' });
  expect(await readFile(path.join(dataFolder, 'pg18'), 'utf8')).toBe('my notes');
});

it('a half-made cluster of an interrupted first start is made anew', async () => {
  const dataFolder = await temporaryFolder('half');
  await mkdir(path.join(dataFolder, 'pg18.new'));
  await writeFile(path.join(dataFolder, 'pg18.new', 'PG_VERSION'), '18\n');
  const database = await open(dataFolder);
  expect(await query(database.url, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect(await readdir(dataFolder)).not.toContain('pg18.new');
});

it('a server that cannot start says why, with the lines of its log', async () => {
  const dataFolder = await temporaryFolder('broken');
  await (await open(dataFolder)).close();
  const file = path.join(dataFolder, 'pg18', 'postgresql.conf');
  const right = await readFile(file, 'utf8');
  await writeFile(file, 'no_such_setting = on\n');
  await expect(openDatabase({ dataFolder, log: logRecord() })).rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining('unrecognized configuration parameter "no_such_setting"'),
    path: path.join(dataFolder, 'pg18.log'),
  });
  await writeFile(file, right);
});

it('the remembered port is given up while somebody else listens there', async () => {
  const dataFolder = await temporaryFolder('port');
  const first = await open(dataFolder);
  await first.close();
  const { port } = new URL(first.url);
  const stranger = net.createServer().listen(Number(port), '127.0.0.1');
  await new Promise((resolve) => stranger.once('listening', resolve));
  onTestFinished(() => new Promise<void>((resolve) => stranger.close(() => resolve())));
  const second = await open(dataFolder);
  expect(new URL(second.url).port).not.toBe(port);
  expect(await query(second.url, 'select 1 as one')).toEqual([{ one: 1 }]);
});

it('a data folder has one owner; a tool may look in from the side', async () => {
  const dataFolder = await temporaryFolder('owner');
  expect(await runningUrl(dataFolder)).toBeNull();
  const database = await open(dataFolder);
  await expect(openDatabase({ dataFolder, log: logRecord() })).rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining('in use'),
  });
  expect(await runningUrl(dataFolder)).toBe(database.url);
  await database.close();
  expect(await runningUrl(dataFolder)).toBeNull();
});

it('close cuts other connections, says nothing of a loss, and may be called twice', async () => {
  const dataFolder = await temporaryFolder('close');
  const database = await open(dataFolder);
  const other = await connectSql(database.url, 2_000);
  const cut = new Promise<void>((resolve) => other.onEnd(resolve));
  const seen: string[] = [];
  database.onLost(() => seen.push('lost'));
  await Promise.all([database.close(), database.close()]);
  await cut;
  await other.close();
  expect(seen).toEqual([]);
});
