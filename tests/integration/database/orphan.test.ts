import { copyFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { clusterFolder } from '#runtime/database/embedded/cluster-folder.ts';
import { recallCluster } from '#runtime/database/embedded/cluster-memory.ts';
import { startEmbedded } from '#runtime/database/embedded/embedded-server.ts';
import { connectToOwn } from '#runtime/database/embedded/identity.ts';
import { readPostmasterPid } from '#runtime/database/embedded/postmaster-pid.ts';
import { isAlive, postgresIn } from '#runtime/database/embedded/processes.ts';
import { realHost } from '#runtime/host.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { logRecord } from '#tests/support/log-record.ts';
import { spawnDatabase } from '#tests/support/spawn-database.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

const linux = process.platform === 'linux';

async function start(dataFolder: string) {
  const log = logRecord();
  const server = await startEmbedded({ dataFolder, log, host: realHost() });
  onTestFinished(async () => {
    await server.stop();
    expect(await postgresIn(clusterFolder(dataFolder).data)).toEqual([]);
  });
  return { server, log, data: clusterFolder(dataFolder).data };
}

it.runIf(linux)('the server dies with a parent that is killed, and the next start finds all data', async () => {
  const dataFolder = await temporaryFolder('guarded');
  const parent = await spawnDatabase(dataFolder, 'guarded');
  const client = await connectSql(parent.url, 2_000);
  await client.query('create table kept as select 7 as value');
  await client.close();
  await parent.kill();
  await waitUntil('the server is gone', () => !isAlive(parent.server));
  expect(await readPostmasterPid(clusterFolder(dataFolder).data), 'a clean shutdown').toBeNull();

  const { server } = await start(dataFolder);
  const again = await server.connect();
  expect(await again.query('select value from kept')).toEqual([{ value: 7 }]);
  await again.close();
});

it.runIf(linux)('a start right after the parent’s death waits for the dying server', async () => {
  const dataFolder = await temporaryFolder('dying');
  const parent = await spawnDatabase(dataFolder, 'guarded');
  await parent.kill();
  const { server } = await start(dataFolder);
  const client = await server.connect();
  expect(await client.query('select 1 as one')).toEqual([{ one: 1 }]);
  await client.close();
});

it('an orphan without the guard lives on and is adopted: same process, same address', async () => {
  const dataFolder = await temporaryFolder('orphan');
  const parent = await spawnDatabase(dataFolder, 'bare');
  await expect(startEmbedded({ dataFolder, log: logRecord(), host: realHost() }), 'while its parent lives').rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining(`another process (${parent.process.pid})`),
  });
  await parent.kill();
  expect(isAlive(parent.server)).toBe(true);

  const { server, log, data } = await start(dataFolder);
  expect(server.url).toBe(parent.url);
  expect((await readPostmasterPid(data))?.pid).toBe(parent.server);
  expect(log.lines.join('\n')).toContain('it is adopted');
  await server.stop();
  expect(isAlive(parent.server)).toBe(false);
});

it('an adopted server that is killed is started again on the same port', async () => {
  const dataFolder = await temporaryFolder('adopted');
  const parent = await spawnDatabase(dataFolder, 'bare');
  await parent.kill();
  const { server, data } = await start(dataFolder);
  process.kill(parent.server, 'SIGKILL');
  await waitUntil('another server is ready', async () => {
    const lock = await readPostmasterPid(data);
    return lock !== null && lock.pid !== parent.server && lock.status === 'ready';
  });
  expect(server.url).toBe(parent.url);
  await (await server.connect()).close();
});

it('an orphan that does not accept the password is refused, named and left running', async () => {
  const dataFolder = await temporaryFolder('refused');
  const parent = await spawnDatabase(dataFolder, 'bare');
  await parent.kill();
  const { secret } = clusterFolder(dataFolder);
  const right = await readFile(secret, 'utf8');
  await writeFile(secret, 'something else');
  await expect(startEmbedded({ dataFolder, log: logRecord(), host: realHost() })).rejects.toMatchObject({ code: 'DATABASE', path: secret });
  expect(isAlive(parent.server)).toBe(true);
  await writeFile(secret, right);
  await start(dataFolder);
});

it('a stopped orphan does not answer: refused with the way out, not waited for without end', async () => {
  const dataFolder = await temporaryFolder('silent');
  const parent = await spawnDatabase(dataFolder, 'bare');
  await parent.kill();
  process.kill(parent.server, 'SIGSTOP');
  await expect(startEmbedded({ dataFolder, log: logRecord(), host: realHost() })).rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining(`process ${parent.server}`),
    fix: expect.stringContaining(`kill -INT ${parent.server}`),
  });
  process.kill(parent.server, 'SIGCONT');
  await start(dataFolder);
});

it.runIf(linux)(
  'the lock file of a process that is not our server is no obstacle, even when that is a PostgreSQL with our password',
  async () => {
    const [ours, theirs] = [await temporaryFolder('ours'), await temporaryFolder('theirs')];
    await (await start(ours)).server.stop();
    const foreign = await start(theirs);
    const lock = path.join(foreign.data, 'postmaster.pid');
    await copyFile(lock, path.join(clusterFolder(ours).data, 'postmaster.pid'));
    const { server, log } = await start(ours);
    expect(log.lines.join('\n')).toContain('not its server');
    expect(new URL(server.url).port).not.toBe(new URL(foreign.server.url).port);
    expect((await readPostmasterPid(foreign.data))?.pid, 'the other one was not touched').toBe(
      Number((await readFile(lock, 'utf8')).split('\n')[0]),
    );
    await (await foreign.server.connect()).close();
  },
);

it('a server on our port with our password, but other data, is refused', async () => {
  const [ours, theirs] = [await temporaryFolder('token'), await temporaryFolder('imposter')];
  const foreign = await start(theirs);
  const memory = await recallCluster(clusterFolder(theirs).memory);
  if (memory === null) throw new Error('a running cluster has a memory');
  const password = await readFile(clusterFolder(theirs).secret, 'utf8');
  const port = Number(new URL(foreign.server.url).port);
  const known = { folder: clusterFolder(theirs), data: foreign.data, password, memory };
  await (await connectToOwn(known, port)).close();
  await expect(connectToOwn({ ...known, data: clusterFolder(ours).data }, port), 'the folder differs').rejects.toMatchObject({
    code: 'DATABASE',
  });
  const token = `corpgrid-${'0'.repeat(32)}`;
  await expect(connectToOwn({ ...known, memory: { ...memory, token } }, port), 'the token differs').rejects.toMatchObject({
    code: 'DATABASE',
  });
});
