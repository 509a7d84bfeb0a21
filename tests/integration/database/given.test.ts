import { expect, it, onTestFinished } from 'vitest';
import { type Database, openDatabase } from '#runtime/database/open-database.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { logRecord } from '#tests/support/log-record.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

/** Somebody else's server: an embedded one of our own, known by its address only. */
async function somebodysServer(): Promise<Database> {
  const database = await openDatabase({ dataFolder: await temporaryFolder('given'), log: logRecord() });
  onTestFinished(() => database.close());
  return database;
}

it('a given server is used as it is, and left running', async () => {
  const theirs = await somebodysServer();
  const client = await connectSql(theirs.url, 2_000);
  await client.query('create database grid');
  await client.close();
  const url = theirs.url.replace(/\/postgres$/, '/grid?application_name=seen');
  const database = await openDatabase({ dataFolder: '/nowhere', url, log: logRecord() });
  expect(database).toMatchObject({ kind: 'given', url });
  await database.close();
  await (await connectSql(theirs.url, 2_000)).close();
});

it('the loss of a given server is told, and its return', async () => {
  const theirs = await somebodysServer();
  const database = await openDatabase({ dataFolder: '/nowhere', url: theirs.url, log: logRecord() });
  onTestFinished(() => database.close());
  const lost = new Promise<void>((resolve) => void database.onLost(resolve));
  const back = new Promise<void>((resolve) => void database.onBack(resolve));
  const client = await connectSql(theirs.url, 2_000);
  await client.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'corpgrid watch' and pid <> pg_backend_pid()",
  );
  await client.close();
  await lost;
  await back;
});

const WRONG: readonly (readonly [what: string, change: (url: URL) => void, fix: string])[] = [
  ['nobody listens', (url) => void (url.port = '1'), 'Nothing listens there'],
  ['the password is wrong', (url) => void (url.password = 'hunter2'), 'The password is wrong'],
  ['the user is unknown', (url) => void (url.username = 'stranger'), 'The password is wrong'],
  ['the database is missing', (url) => void (url.pathname = '/missing'), 'There is no such database'],
  ['it speaks no TLS', (url) => void (url.search = '?sslmode=verify-full'), 'Check that the server runs'],
];

it('a server that cannot be used is named together with the fix, and no password', async () => {
  const theirs = await somebodysServer();
  for (const [what, change, fix] of WRONG) {
    const url = new URL(theirs.url);
    const right = url.password;
    change(url);
    const error: unknown = await openDatabase({ dataFolder: '/nowhere', url: url.href, log: logRecord() }).then(
      () => null,
      (caught: unknown) => caught,
    );
    expect(error, what).toMatchObject({ code: 'DATABASE', path: 'DATABASE_URL', fix: expect.stringContaining(fix) });
    const { message } = error as Error;
    expect(message).toContain(`127.0.0.1:${url.port}${url.pathname}`);
    expect(message).not.toContain(right);
    expect(message).not.toContain('hunter2');
  }
});

it('a malformed address is refused before anything connects', async () => {
  await expect(openDatabase({ dataFolder: '/nowhere', url: 'db.example/grid', log: logRecord() })).rejects.toMatchObject({
    code: 'BAD_CONFIGURATION',
    path: 'DATABASE_URL',
    fix: expect.stringContaining('postgres://user:password@host:5432/corpgrid'),
  });
});
