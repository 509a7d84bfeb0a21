import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createGridClient } from '#bin/client/grid-client.ts';
import { openDatabase, type Database } from '#runtime/database/open-database.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { paintAlone, submitPicture, untilMidJob, type Painted, type Picture } from '#tests/support/fault-job.ts';
import type { Grid } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { expectRight } from './evidence.ts';
import { startTestGrid, untilPresent } from './grid-under-test.ts';

const PICTURE: Picture = { side: 160, tile: 48, samples: 128 };
const LIMIT_MS = 240_000;

describe('two coordinators on one database', () => {
  let painted: Painted;
  let folder: string;
  let server: Database;
  let databases = 0;
  beforeAll(async () => {
    painted = await paintAlone(PICTURE);
    folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-coordinators-'));
    server = await openDatabase({ dataFolder: folder, log: { info: () => undefined, warn: () => undefined, error: () => undefined } });
  });
  afterAll(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function emptyDatabase(): Promise<string> {
    const name = `coordinators_${(databases += 1)}`;
    const admin = await connectSql(server.url, 10_000);
    await admin.query(`create database ${name}`);
    await admin.close();
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    return url.href;
  }

  async function ownersOf(databaseUrl: string): Promise<number[]> {
    const client = await connectSql(databaseUrl, 10_000);
    try {
      const rows = await client.query<{ n: string }>('select count(*) as n from partitions group by coordinator order by 1');
      return rows.map(({ n }) => Number(n));
    } finally {
      await client.close();
    }
  }

  async function startTwo(): Promise<{ grid: Grid; second: Awaited<ReturnType<Grid['joinCoordinator']>>; devices: string[] }> {
    const databaseUrl = await emptyDatabase();
    const grid = await startTestGrid({ environment: { DATABASE_URL: databaseUrl } });
    const second = await grid.joinCoordinator();
    await waitUntil('both own partitions', async () => (await ownersOf(databaseUrl)).length === 2);
    const devices: string[] = [];
    // Some machines come in by one door and some by the other; each knows both.
    for (const [n, name] of ['a', 'b', 'c'].entries()) {
      const urls = n === 0 ? `${grid.url},${second.url}` : `${second.url},${grid.url}`;
      devices.push((await grid.startAgent(name, { url: urls })).device);
    }
    await untilPresent(grid, devices);
    return { grid, second, devices };
  }

  it(
    'one answers for the jobs and devices of the other, and results are the same bytes',
    async () => {
      const { grid, second, devices } = await startTwo();
      const other = createGridClient({ url: second.url, key: grid.adminKey });
      expect(
        (await other.devices())
          .filter(({ state }) => state === 'present')
          .map(({ id }) => id)
          .sort(),
      ).toEqual([...devices].sort());
      const jobs = [];
      for (const client of [grid.client, other]) jobs.push(await submitPicture(client, PICTURE));
      for (const job of jobs) {
        expect((await other.job(job)).id).toBe(job);
        await expectRight(grid, job, painted);
      }
    },
    LIMIT_MS,
  );

  it(
    'kill -9 of one in the middle of its jobs: the other goes on, and results are the same bytes',
    async () => {
      const { grid, second } = await startTwo();
      const jobs = [];
      for (let n = 0; n < 2; n++) jobs.push(await submitPicture(grid.client, PICTURE));
      await untilMidJob(grid.client, jobs[0] ?? '');
      await second.kill();
      for (const job of jobs) await expectRight(grid, job, painted);
    },
    LIMIT_MS,
  );

  it(
    'one that is stopped hands its jobs over',
    async () => {
      const { grid, second } = await startTwo();
      const job = await submitPicture(grid.client, PICTURE);
      await untilMidJob(grid.client, job);
      await second.stop();
      await expectRight(grid, job, painted);
    },
    LIMIT_MS,
  );
});
