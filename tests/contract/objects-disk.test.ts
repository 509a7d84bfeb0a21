import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { type DiskObjects, openDiskObjects } from '#runtime/objects/disk-objects.ts';
import { createUrlSigner } from '#runtime/objects/signed-url.ts';
import { virtualHost } from '#runtime/simulation/virtual-host.ts';

import { objectsContract, type ObjectsUnderTest, refOf, send } from './objects.contract.ts';

const SECRET = Buffer.alloc(32, 3);

interface DiskUnderTest extends ObjectsUnderTest {
  readonly objects: DiskObjects;
  readonly folder: string;
  readonly port: number;
  readonly defects: unknown[];
  readonly clock: ReturnType<typeof virtualHost>['clock'];
  reopen(): Promise<DiskObjects>;
}

async function makeDisk(options: { maxSize?: number } = {}): Promise<DiskUnderTest> {
  const base = mkdtempSync(join(tmpdir(), 'corpgrid-objects-'));
  const folder = join(base, 'objects');
  const host = virtualHost(1);
  const defects: unknown[] = [];
  const pending = new Set<Promise<void>>();
  let port = 0;
  const open = (): Promise<DiskObjects> =>
    openDiskObjects({
      folder,
      secret: SECRET,
      baseUrl: () => `http://127.0.0.1:${port}/`,
      clock: host.clock,
      onDefect: (error) => defects.push(error),
      ...options,
    });
  const objects = await open();
  const server: Server = createServer((request, response) => {
    const handled = objects.handle(request, response).finally(() => pending.delete(handled));
    pending.add(handled);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  port = (server.address() as AddressInfo).port;
  return {
    objects,
    folder,
    port,
    defects,
    clock: host.clock,
    reopen: open,
    otherBytes: 422,
    moreBytes: 413,
    async longAgo(sign) {
      const signed = await sign();
      host.skewWall(61_000);
      return signed;
    },
    async dispose() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
      await Promise.all(pending);
      const left = { base: readdirSync(base), folder: readdirSync(folder).toSorted(), uploads: readdirSync(join(folder, 'tmp')), defects };
      rmSync(base, { recursive: true, force: true });
      expect(left).toEqual({ base: ['objects'], folder: ['sha256', 'tmp'], uploads: [], defects: [] });
    },
  };
}

objectsContract('files on disk', () => makeDisk());

describe('files on disk, attacked', () => {
  let disk: DiskUnderTest;
  const body = randomBytes(100_000);
  const ref = refOf(body);

  beforeEach(async () => {
    disk = await makeDisk({ maxSize: 1_000_000 });
  });

  afterEach(() => disk.dispose());

  /** Sends the target as it is: fetch would tidy it up. */
  function raw(
    method: string,
    target: string,
    content?: Uint8Array,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; json: Record<string, unknown>; headers: IncomingMessage['headers'] }> {
    return new Promise((resolve, reject) => {
      const request = httpRequest({ host: '127.0.0.1', port: disk.port, method, path: target, headers, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({
            status: response.statusCode ?? 0,
            json: text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {},
            headers: response.headers,
          });
        });
      });
      request.on('error', reject);
      request.end(content);
    });
  }

  const targetOf = (url: string): string => url.slice(url.indexOf('/objects/'));

  async function storedFiles(): Promise<string[]> {
    const folders = readdirSync(join(disk.folder, 'sha256'));
    expect(folders).toHaveLength(256);
    return folders.flatMap((name) => readdirSync(join(disk.folder, 'sha256', name)).map((rest) => name + rest));
  }

  it('answers with problem JSON', async () => {
    const response = await raw('GET', targetOf((await disk.objects.presignGet(ref, 60)).url));
    expect(response.status).toBe(404);
    expect(response.headers['content-type']).toBe('application/json');
    expect(response.json).toEqual({ code: 'NOT_FOUND', message: `no object ${ref.sha256} here` });
    const expired = await raw('GET', targetOf((await disk.objects.presignGet(ref, 60)).url).replace(/e=\d+/, 'e=1'));
    expect(expired.json).toMatchObject({ code: 'FORBIDDEN', fix: expect.any(String) as string });
  });

  it('refuses traversal, encoded and plain, before it looks at any file', async () => {
    const { url } = await disk.objects.presignPut(ref, 60);
    const query = url.slice(url.indexOf('?'));
    const paths = [
      '/objects/../../../etc/passwd',
      '/objects/sha256/../../x',
      '/objects/sha256/..%2F..%2Fx',
      `/objects/sha256/${ref.sha256}/../${ref.sha256}`,
      `/objects/sha256/%2e%2e/${ref.sha256}`,
      `/objects//sha256/${ref.sha256}`,
      `/objects/sha256/${ref.sha256}%00`,
      `/objects/sha256/${ref.sha256.slice(2)}`,
      `/objects/sha256/${ref.sha256.toUpperCase()}`,
      `/objects/tmp/${ref.sha256}`,
      '/objects/',
      '/',
    ];
    for (const path of paths) {
      const response = await raw('PUT', path + query, body);
      expect([path, response.status, response.json['code']]).toEqual([path, 400, 'BAD_REQUEST']);
    }
    expect(await storedFiles()).toEqual([]);
  });

  it('refuses an address with any part altered, missing or added', async () => {
    await disk.objects.put(body);
    const { url } = await disk.objects.presignGet(ref, 60);
    const target = targetOf(url);
    const altered = [
      target.replace(/e=(\d+)/, (_, e: string) => `e=${Number(e) + 1000}`),
      target.replace(/e=(\d+)/, (_, e: string) => `e=0${e}`),
      target.replace(/e=\d+/, 'e=9e99'),
      target.replace(/e=\d+&/, ''),
      target.replace(/n=\d+/, 'n=5'),
      target.replace(/n=\d+&/, ''),
      target.replace(/sig=./, (start) => (start === 'sig=A' ? 'sig=B' : 'sig=A')),
      target.replace(/sig=.*/, 'sig='),
      target.replace(/&sig=.*/, ''),
      target.replace(/\?.*/, ''),
      target.replace('?', '?e=99999999999&'),
      target.replace('?', '?n=1&'),
    ];
    for (const attack of altered) {
      expect(attack).not.toBe(target);
      expect([attack, (await raw('GET', attack)).status]).toEqual([attack, 403]);
    }
    expect((await raw('GET', target)).status).toBe(200);
  });

  it('refuses an address that another secret signed', async () => {
    const other = createUrlSigner({ secret: Buffer.alloc(32, 4), baseUrl: () => `http://127.0.0.1:${disk.port}`, clock: disk.clock });
    expect((await raw('PUT', targetOf(other.sign('PUT', ref, 60).url), body)).status).toBe(403);
    expect(() => createUrlSigner({ secret: Buffer.alloc(31), baseUrl: () => '', clock: disk.clock })).toThrow(RangeError);
  });

  it('refuses every method that was not signed', async () => {
    await disk.objects.put(body);
    const get = targetOf((await disk.objects.presignGet(ref, 60)).url);
    const put = targetOf((await disk.objects.presignPut(ref, 60)).url);
    for (const method of ['DELETE', 'POST', 'PATCH', 'OPTIONS', 'PUT'])
      expect([method, (await raw(method, get)).status]).toEqual([method, 403]);
    for (const method of ['DELETE', 'POST', 'PATCH', 'OPTIONS', 'GET', 'HEAD'])
      expect([method, (await raw(method, put)).status]).toEqual([method, 403]);
    expect(await disk.objects.verify(ref.sha256)).toBe(true);
  });

  it('answers HEAD with a GET address, without the bytes', async () => {
    await disk.objects.put(body);
    const response = await raw('HEAD', targetOf((await disk.objects.presignGet(ref, 60)).url));
    expect(response.status).toBe(200);
    expect(response.headers).toMatchObject({
      'content-length': '100000',
      'accept-ranges': 'bytes',
      etag: `"${ref.sha256}"`,
      'x-content-type-options': 'nosniff',
    });
  });

  it('tells the second uploader that the object was here, and leaves the file alone', async () => {
    const target = targetOf((await disk.objects.presignPut(ref, 60)).url);
    expect((await raw('PUT', target, body)).json).toEqual({ ...ref, existed: false });
    const file = join(disk.folder, 'sha256', ref.sha256.slice(0, 2), ref.sha256.slice(2));
    const before = statSync(file);
    expect((await raw('PUT', target, body)).json).toEqual({ ...ref, existed: true });
    const after = statSync(file);
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs]);
    expect((await raw('PUT', target, randomBytes(100_000))).json['code']).toBe('HASH_MISMATCH');
  });

  it('has one winner among eight racing uploads', async () => {
    const target = targetOf((await disk.objects.presignPut(ref, 60)).url);
    const results = await Promise.all(Array.from({ length: 8 }, () => raw('PUT', target, body)));
    expect(results.map((result) => result.status)).toEqual(Array.from({ length: 8 }, () => 200));
    expect(results.filter((result) => result.json['existed'] === false)).toHaveLength(1);
    expect(await storedFiles()).toEqual([ref.sha256]);
  });

  it('refuses more than was signed for, announced or not, and more than it takes at all', async () => {
    const target = targetOf((await disk.objects.presignPut(ref, 60)).url);
    const large = Buffer.concat([body, randomBytes(500_000)]);
    const announced = await raw('PUT', target, large);
    expect([announced.status, announced.json['code'], announced.headers.connection]).toEqual([413, 'TOO_LARGE', 'close']);
    const chunked = await raw('PUT', target, large, { 'transfer-encoding': 'chunked' });
    expect([chunked.status, chunked.json['code']]).toEqual([413, 'TOO_LARGE']);
    const huge = { sha256: ref.sha256, size: 1_000_001 };
    expect(
      (await raw('PUT', targetOf((await disk.objects.presignPut(huge, 60)).url), body, { 'transfer-encoding': 'chunked' })).status,
    ).toBe(413);
    expect(await storedFiles()).toEqual([]);
  });

  it('does not hang up on a client that is still sending: that would destroy the answer', async () => {
    const target = targetOf((await disk.objects.presignPut(ref, 60)).url);
    for (const [path, status] of [
      [target, 413],
      ['/objects/nothing', 400],
    ] as const) {
      const socket = connect(disk.port, '127.0.0.1');
      const sent = (bytes: Uint8Array): Promise<void> =>
        new Promise((done, failed) => socket.write(bytes, (error) => (error ? failed(error) : done())));
      socket.write(`PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n`);
      await new Promise((done) => socket.once('readable', done));
      for (let i = 0; i < 30; i++) {
        await sent(randomBytes(100_000));
        await new Promise((done) => setImmediate(done));
      }
      const answer = Buffer.concat(await socket.toArray()).toString();
      expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    }
  });

  it('keeps the connection of a reader whose object is not here', async () => {
    expect(
      (await raw('GET', targetOf((await disk.objects.presignGet(ref, 60)).url), undefined, { connection: 'keep-alive' })).headers
        .connection,
    ).toBe('keep-alive');
  });

  it('refuses a short body, announced or not', async () => {
    const target = targetOf((await disk.objects.presignPut(ref, 60)).url);
    const short = body.subarray(0, 99_999);
    expect((await raw('PUT', target, short)).status).toBe(422);
    expect((await raw('PUT', target, short, { 'transfer-encoding': 'chunked' })).status).toBe(422);
    expect((await raw('PUT', target)).status).toBe(422);
    expect(await storedFiles()).toEqual([]);
  });

  it('cuts off a client that goes on sending after the refusal', async () => {
    const target = targetOf((await disk.objects.presignPut(ref, 60)).url);
    const socket = connect(disk.port, '127.0.0.1');
    const closed = new Promise((done) => socket.once('close', done));
    socket.on('error', () => undefined);
    socket.resume();
    socket.write(`PUT ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n`);
    let sent = 0;
    const flood = (): void => {
      while (!socket.destroyed && sent < 512_000_000) {
        sent += 65_536;
        if (!socket.write(body.subarray(0, 65_536))) {
          socket.once('drain', flood);
          return;
        }
      }
    };
    flood();
    await closed;
    expect(sent).toBeLessThan(64_000_000);
  });

  it('leaves nothing of an upload that is broken off', async () => {
    const target = targetOf((await disk.objects.presignPut(ref, 60)).url);
    const socket = connect(disk.port, '127.0.0.1');
    socket.write(`PUT ${target} HTTP/1.1\r\nHost: x\r\nContent-Length: ${ref.size}\r\n\r\n`);
    socket.write(body.subarray(0, 50_000));
    const uploads = join(disk.folder, 'tmp');
    const turn = (): Promise<void> => new Promise((done) => setImmediate(done));
    while (readdirSync(uploads).length === 0) await turn();
    socket.destroy();
    while (readdirSync(uploads).length > 0) await turn();
    expect(await storedFiles()).toEqual([]);
    expect(await disk.objects.put(body, ref)).toEqual(ref);
  });

  it('survives a reader that goes away', async () => {
    const large = randomBytes(900_000);
    await disk.objects.put(large);
    const target = targetOf((await disk.objects.presignGet(refOf(large), 60)).url);
    for (let i = 0; i < 5; i++) {
      const socket = connect(disk.port, '127.0.0.1');
      socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`);
      await new Promise((done) => socket.once('data', done));
      socket.destroy();
    }
    const response = await send(await disk.objects.presignGet(refOf(large), 60));
    expect(Buffer.from(await response.arrayBuffer()).equals(large)).toBe(true);
  });

  it('removes what a crash left behind, and keeps what was stored', async () => {
    await disk.objects.put(body);
    writeFileSync(join(disk.folder, 'tmp', 'half-an-upload'), 'x');
    mkdirSync(join(disk.folder, 'tmp', 'strange'));
    const again = await disk.reopen();
    expect(readdirSync(join(disk.folder, 'tmp'))).toEqual([]);
    expect(await again.verify(ref.sha256)).toBe(true);
  });

  it('forgets uploads of which nothing was heard for long, and no young one', async () => {
    const uploads = join(disk.folder, 'tmp');
    for (const name of ['old', 'young']) writeFileSync(join(uploads, name), 'x');
    utimesSync(join(uploads, 'old'), 1_000, 1_000);
    expect(await disk.objects.endUploads(1_000_000)).toBe(0);
    expect(await disk.objects.endUploads(1_000_001)).toBe(1);
    expect(readdirSync(uploads)).toEqual(['young']);
    expect(await disk.objects.endUploads(Date.now() + 60_000)).toBe(1);
  });

  it('notices bytes that changed on the disk', async () => {
    await disk.objects.put(body);
    const file = join(disk.folder, 'sha256', ref.sha256.slice(0, 2), ref.sha256.slice(2));
    writeFileSync(file, Buffer.concat([body.subarray(0, -1), Buffer.from([(body.at(-1) ?? 0) ^ 1])]));
    expect(await disk.objects.verify(ref.sha256)).toBe(false);
    expect(await disk.objects.head(ref.sha256)).toEqual(ref);
  });

  it('says INTERNAL and reports the cause when the disk fails', async () => {
    rmSync(join(disk.folder, 'tmp'), { recursive: true });
    const response = await raw('PUT', targetOf((await disk.objects.presignPut(ref, 60)).url), body);
    expect([response.status, response.json['code']]).toEqual([500, 'INTERNAL']);
    expect(JSON.stringify(response.json)).not.toContain(disk.folder);
    expect(disk.defects.splice(0)).toMatchObject([{ code: 'ENOENT' }]);
    mkdirSync(join(disk.folder, 'tmp'));
  });
});
