import { chmodSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { look, ok } from '#bin/doctor/finding.ts';
import { judgeDisk, judgeNode, judgeSkew } from '#bin/doctor/judgements.ts';
import { lookAtDisk, lookAtFolder, lookAtKey, lookAtLlama, lookAtPort } from '#bin/doctor/machine.ts';
import { lookAtDatabase, lookAtGrid, lookAtObjects, lookAtRedis } from '#bin/doctor/servers.ts';
import { GridError } from '#runtime/errors.ts';
import { loadOrCreateKey } from '#runtime/identity/keys.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const GIB = 1024 ** 3;
const wrong = (state: 'warn' | 'fail', detail: RegExp, fix = /./): object => {
  return { state, detail: expect.stringMatching(detail) as string, fix: expect.stringMatching(fix) as string };
};

describe('the judgement of', () => {
  it.each([
    ['v24.21.0', 'ok'],
    ['v26.0.1', 'ok'],
    ['v20.20.2', 'fail'],
    ['strange', 'fail'],
  ])('Node %s is %s', (version, state) => expect(judgeNode(version).state).toBe(state));

  it.each([
    [0.5, 'fail'],
    [4, 'warn'],
    [5, 'ok'],
  ])('%f GiB of free disk is %s', (gib, state) => expect(judgeDisk('/data', gib * GIB).state).toBe(state));

  it.each([
    [4_000, 0, 'ok'],
    [-6_000, 0, 'warn'],
    [6_000, 2_000, 'ok'],
    [300_000, 0, 'fail'],
    [-900_000, 500, 'fail'],
  ])('a clock that is %i ms off, give or take %i, is %s', (skew, uncertain, state) => {
    const verdict = judgeSkew('the grid', skew, uncertain);
    expect(verdict.state).toBe(state);
    if (state !== 'ok') expect(verdict.detail).toMatch(skew > 0 ? /behind the grid/ : /ahead of the grid/);
  });
});

describe('a look', () => {
  it('that throws is a finding with the fix of what was thrown', async () => {
    expect(await look('a', () => ok('well'))).toEqual({ check: 'a', state: 'ok', detail: 'well' });
    const refused = await look('b', () => Promise.reject(new GridError('DATABASE', 'no connection', { fix: 'start it' })));
    expect(refused).toEqual({ check: 'b', state: 'fail', detail: 'no connection', fix: 'start it' });
    expect(await look('c', () => Promise.reject(new Error('odd')))).toMatchObject(wrong('fail', /^odd$/));
  });

  it('at a key finds what others may read, and makes none', async () => {
    const folder = path.join(await temporaryFolder('doctor'), 'keys');
    expect(lookAtKey(folder, 'device').detail).toMatch(/none yet/);
    const { publicKey } = loadOrCreateKey(folder, 'device');
    expect(lookAtKey(folder, 'device').detail).toContain(publicKey);
    chmodSync(path.join(folder, 'device.key'), 0o644);
    const found = await look('device key', () => lookAtKey(folder, 'device'));
    if (process.platform !== 'win32') expect(found).toMatchObject(wrong('fail', /device\.key/, /chmod 600/));
  });

  it('at folders that are not there looks at those above them, and makes none', async () => {
    const folder = await temporaryFolder('doctor');
    const below = path.join(folder, 'a', 'b');
    expect(await lookAtFolder(below)).toMatchObject({ state: 'ok', detail: expect.stringContaining('made at the first start') as string });
    expect(await lookAtFolder(folder)).toMatchObject({ state: 'ok', detail: `${folder} can be written` });
    expect((await lookAtDisk(below)).detail).toContain(folder);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('at a port tells a free one, one of another program, and an address of another machine', async () => {
    const taken = createServer((_request, response) => void response.end('another program')).listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as AddressInfo;
    expect(await lookAtPort('127.0.0.1', port)).toMatchObject(wrong('fail', /taken by another program/, /--port/));
    taken.closeAllConnections();
    await new Promise((resolve) => taken.close(resolve));
    expect(await lookAtPort('127.0.0.1', port)).toMatchObject({ state: 'ok' });
    expect(await lookAtPort('192.0.2.1', port)).toMatchObject(wrong('fail', /no address of this machine/, /--listen/));
  });

  it('at servers that do not answer says which setting it is, and no password', async () => {
    const folder = await temporaryFolder('doctor');
    const database = { DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/none' };
    const redis = { REDIS_URL: 'redis://:secret@127.0.0.1:1' };
    const s3 = { S3_ENDPOINT: 'http://127.0.0.1:1', S3_BUCKET: 'bucket', S3_ACCESS_KEY_ID: 'k', S3_SECRET_ACCESS_KEY: 'secret' };
    const found = await Promise.all([
      look('database', () => lookAtDatabase(database, folder)),
      look('redis', () => lookAtRedis(redis)),
      look('objects', () => lookAtObjects(s3, folder)),
      look('grid', async () => (await lookAtGrid('http://127.0.0.1:1'))[0]),
    ]);
    expect(found.map(({ state }) => state)).toEqual(['fail', 'fail', 'fail', 'warn']);
    for (const { fix } of found) expect(fix).toMatch(/DATABASE_URL|REDIS_URL|S3_ENDPOINT|npm start/);
    expect(JSON.stringify(found)).not.toContain('secret');
  });

  it('at the engine for models loads it', { timeout: 60_000 }, async () => {
    expect(await lookAtLlama()).toMatchObject({ state: 'ok', detail: expect.stringMatching(/the engine loads/) as string });
  });
});
