import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { download, type Download, forget } from '#actors/hub/download.ts';
import { serveFile, type FileServer } from '#tests/support/file-server.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const MIB = 1024 * 1024;
const file = randomBytes(3 * MIB);
const sha256 = createHash('sha256').update(file).digest('hex');

let server: FileServer;
let part = '';

beforeEach(async () => {
  server = await serveFile(file);
  part = path.join(await temporaryFolder('download'), 'in', 'model.part');
});
afterEach(() => server.close());

/** Pauses end at once: what passes between two tries is not what is tested. Stalls never come. */
function order(over: Partial<Download> = {}): Download {
  return {
    url: `${server.url}/x.gguf`,
    part,
    sha256: undefined,
    maxBytes: 10 * MIB,
    signal: new AbortController().signal,
    after(ms, run) {
      if (ms < 30_000) setImmediate(run);
      return { cancel() {} };
    },
    random: () => 0.5,
    onProgress() {},
    ...over,
  };
}

describe('a download', () => {
  it('brings the file and its hash', async () => {
    const seen: number[] = [];
    expect(await download(order({ onProgress: (received) => seen.push(received) }))).toEqual({ sha256, size: file.length });
    expect(readFileSync(part)).toEqual(file);
    expect(seen.at(-1)).toBe(file.length);
    await forget(part);
    expect(existsSync(part) || existsSync(`${part}.json`)).toBe(false);
  });

  it('goes on where the line broke, without asking for a byte twice', async () => {
    server.cutAfter = MIB;
    expect(await download(order())).toEqual({ sha256, size: file.length });
    const starts = server.requests.slice(1).map((r) => Number(/^bytes=(\d+)-$/.exec(r.range ?? 'bytes=0-')?.[1]));
    expect(starts.length).toBeGreaterThan(1);
    expect(starts).toEqual([...new Set(starts)].sort((a, b) => a - b));
  });

  it('goes on with what an earlier process left', async () => {
    server.cutAfter = MIB;
    const stop = new AbortController();
    const cut = download(
      order({ signal: stop.signal, onProgress: (received) => received > 0 && stop.abort(new Error('the process ends')) }),
    );
    await expect(cut).rejects.toThrow('the process ends');
    const left = readFileSync(part).length;
    expect(left).toBeGreaterThan(0);
    server.cutAfter = undefined;
    expect(await download(order())).toEqual({ sha256, size: file.length });
    expect(server.requests.at(-1)?.range).toBe(`bytes=${left}-`);
  });

  it('begins anew when the server has another file meanwhile', async () => {
    server.cutAfter = MIB;
    const stop = new AbortController();
    await expect(download(order({ signal: stop.signal, onProgress: (n) => n > 0 && stop.abort(new Error('ends')) }))).rejects.toThrow(
      'ends',
    );
    server.cutAfter = undefined;
    server.file = randomBytes(2 * MIB);
    const other = createHash('sha256').update(server.file).digest('hex');
    expect(await download(order())).toEqual({ sha256: other, size: 2 * MIB });
  });

  it('takes the hash that a hub names, and refuses a file that has another', async () => {
    expect(await download(order({ url: `${server.url}/linked/x.gguf` }))).toEqual({ sha256, size: file.length });
    await forget(part);
    server.spoil = (bytes) => bytes.map((byte, at) => (at === 77 ? byte ^ 1 : byte));
    await expect(download(order({ url: `${server.url}/linked/x.gguf` }))).rejects.toMatchObject({ code: 'HASH_MISMATCH' });
    expect(existsSync(part)).toBe(false);
  });

  it('refuses a file whose hash is not the wanted one before it is fetched, when the hub names it', async () => {
    const wanted = download(order({ url: `${server.url}/linked/x.gguf`, sha256: '0'.repeat(64) }));
    await expect(wanted).rejects.toMatchObject({ code: 'HASH_MISMATCH', path: 'sha256' });
    expect(server.sent).toBeLessThanOrEqual(1);
  });

  it('refuses what does not fit on the disk before it is fetched', async () => {
    await expect(download(order({ maxBytes: MIB }))).rejects.toMatchObject({ code: 'TOO_LARGE' });
    expect(existsSync(part)).toBe(false);
  });

  it('says what a refusal of the server means', async () => {
    server.status = 404;
    await expect(download(order())).rejects.toMatchObject({ code: 'MODEL_FAILED', fix: 'check the address' });
    server.status = 401;
    await expect(download(order())).rejects.toMatchObject({ fix: expect.stringContaining('not public') });
    expect(server.requests).toHaveLength(2);
  });

  it('tries again a few times while the server is ill, and then says so', async () => {
    server.status = 503;
    await expect(download(order())).rejects.toMatchObject({ code: 'MODEL_FAILED', message: expect.stringContaining('503') });
    expect(server.requests).toHaveLength(6);
  });
});
