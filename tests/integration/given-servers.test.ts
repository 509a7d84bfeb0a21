import { existsSync } from 'node:fs';
import path from 'node:path';

import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { connectSql } from '#runtime/database/sql-client.ts';
import { expectRight } from '#tests/faults/evidence.ts';
import { startAgents, startTestGrid, untilPresent } from '#tests/faults/grid-under-test.ts';
import { paintAlone, submitPicture, type Painted } from '#tests/support/fault-job.ts';
import { startPostgres15, type Postgres15 } from '#tests/support/postgres-15.ts';
import { startRedis, type RedisServer } from '#tests/support/redis-server.ts';
import { startS3, type S3Server } from '#tests/support/s3-server.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

/** Tiles too large to travel inside messages, so that each of them goes through the bucket. */
const PICTURE = { side: 128, tile: 64, samples: 2 };

describe('a grid on servers that somebody else runs', () => {
  let postgres: Postgres15;
  let redis: RedisServer;
  let s3: S3Server;
  let admin: S3Client;
  let painted: Painted;
  let environment: Record<string, string>;
  const ends: (() => Promise<void>)[] = [];

  beforeAll(async () => {
    postgres = await startPostgres15();
    ends.push(() => postgres.end());
    redis = await startRedis({ password: 'the-redis-secret' });
    ends.push(() => redis.end());
    s3 = await startS3();
    ends.push(() => s3.end());
    const { endpoint, region, bucket, accessKeyId, secretAccessKey } = s3.settings;
    admin = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
    await admin.send(new CreateBucketCommand({ Bucket: bucket }));
    environment = {
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url.replace('//', '//:the-redis-secret@'),
      S3_ENDPOINT: endpoint,
      S3_BUCKET: bucket,
      S3_ACCESS_KEY_ID: accessKeyId,
      S3_SECRET_ACCESS_KEY: secretAccessKey,
    };
    painted = await paintAlone(PICTURE);
  });
  afterAll(async () => {
    admin?.destroy();
    for (const end of ends.toReversed()) await end();
  });

  it('runs a job on PostgreSQL 15, Redis and S3, and keeps nothing but its key in its folder', async () => {
    const grid = await startTestGrid({ environment, logLevel: 'debug' });
    const [first] = await startAgents(grid, ['a', 'b']);
    const job = await submitPicture(grid.client, PICTURE);
    await expectRight(grid, job, painted);

    const database = await connectSql(postgres.url, 10_000);
    onTestFinished(() => database.close());
    expect(await database.query("select current_setting('server_version_num')::int / 10000 as major")).toEqual([{ major: 15 }]);
    expect(await database.query(`select state from jobs where id = '${job}'`)).toEqual([{ state: 'done' }]);

    const { Contents = [] } = await admin.send(new ListObjectsV2Command({ Bucket: s3.settings.bucket }));
    // The module, four tiles and the merged picture.
    expect(Contents.length).toBeGreaterThanOrEqual(6);
    expect(Contents.filter(({ Key = '' }) => !/^sha256\/[0-9a-f]{64}$/.test(Key))).toEqual([]);
    const folder = path.join(grid.folder, 'data');
    expect(['objects', 'pg18'].filter((name) => existsSync(path.join(folder, name)))).toEqual([]);

    const presence = new Redis(environment['REDIS_URL'] ?? '');
    onTestFinished(() => presence.disconnect());
    expect((await presence.zrange('{corpgrid:presence}:due', '0', '-1')).toSorted()).toEqual(
      (await grid.client.devices()).map(({ id }) => id).toSorted(),
    );

    // Redis forgets everything; nobody is given up, and a device that really goes is noticed all the same.
    await presence.flushall();
    await waitUntil('presence is built anew', async () => (await presence.zcard('{corpgrid:presence}:due')) === 2);
    await expectRight(grid, await submitPicture(grid.client, PICTURE), painted);

    // Another coordinator on the same servers goes on, with none of the first one's files but its key.
    await grid.coordinator.kill();
    await first?.kill();
    await grid.restartCoordinator();
    await untilPresent(
      grid,
      grid.agents.slice(1).map(({ device }) => device),
    );
    await grid.startAgent('a');
    await expectRight(grid, await submitPicture(grid.client, PICTURE), painted);

    const said = [grid.coordinator, ...grid.agents].map((process) => process.output()).join('\n');
    const password = new URL(postgres.url).password;
    for (const secret of ['the-redis-secret', s3.settings.secretAccessKey, password]) expect(said).not.toContain(secret);
  });
});
