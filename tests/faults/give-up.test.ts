import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

import { createGridClient } from '#bin/client/grid-client.ts';
import { openDatabase } from '#runtime/database/open-database.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { isAlive } from '#runtime/database/embedded/processes.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

import { startTestGrid } from './grid-under-test.ts';

it('a coordinator whose parts fail for good ends, and says so, instead of living on without answers', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-give-up-'));
  const server = await openDatabase({ dataFolder: folder, log: { info: () => undefined, warn: () => undefined, error: () => undefined } });
  onTestFinished(async () => {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  });
  const grid = await startTestGrid({ environment: { DATABASE_URL: server.url } });
  // A stand-in for a defect that no restart mends.
  const admin = await connectSql(server.url, 10_000);
  await admin.query('alter table api_keys rename to lost');
  await admin.close();

  const stranger = createGridClient({ url: grid.url, key: `cg_${'0'.repeat(16)}_${'0'.repeat(32)}` });
  await waitUntil('the coordinator ended', async () => {
    await stranger.whoami().catch(() => undefined);
    return !isAlive(grid.coordinator.pid);
  });
  expect(await grid.coordinator.stop()).toBe(1);
  expect(grid.coordinator.output()).toContain('the coordinator gave up');
}, 120_000);
