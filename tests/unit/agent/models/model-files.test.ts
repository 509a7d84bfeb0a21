import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { ModelDelivery } from '#actors/contract/agent-link.ts';
import { ChunkHashes } from '#actors/hub/chunk-hashes.ts';
import type { Transfer } from '#agent/bundle/transfer.ts';
import { ModelFiles } from '#agent/models/model-files.ts';
import { serveFile, type FileServer } from '#tests/support/file-server.ts';
import { encodeGguf } from '#tests/support/gguf/gguf-writer.ts';
import { tinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const CHUNK = 8 * 1024 * 1024;

/** A sound model file of a little more than two chunks: a file may have anything behind its last tensor. */
const model = Buffer.concat([encodeGguf(tinyLlama()), randomBytes(2 * CHUNK)]);

const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let server: FileServer;
let folder = '';
let files: ModelFiles;
const progress: number[] = [];

beforeEach(async () => {
  server = await serveFile(model);
  folder = path.join(await temporaryFolder('model-files'), 'models');
  files = new ModelFiles({ folder, quotaBytes: 10 * CHUNK, inUse: () => new Set() });
  progress.length = 0;
});
afterEach(() => server.close());

function order(bytes: Uint8Array = model): ModelDelivery {
  const hashes = new ChunkHashes();
  hashes.add(bytes);
  const chunks = hashes.digest();
  return {
    size: bytes.length,
    get: { method: 'GET', url: '/x.gguf', headers: {} },
    chunks: { sha256: sha256Of(chunks), size: chunks.length, bytes: chunks },
    contextSize: 512,
  };
}

function transfer(): Transfer {
  return {
    gridUrl: server.url,
    signal: new AbortController().signal,
    after(ms, run) {
      if (ms < 10_000) setImmediate(run);
      return { cancel() {} };
    },
    random: () => 0.5,
  };
}

const fetchModel = (bytes: Uint8Array = model, by = files) => {
  server.file = bytes;
  return by.fetch('tiny', sha256Of(bytes), order(bytes), transfer(), (received) => progress.push(received));
};

const hashes = (bytes: Uint8Array) => ({ file: expect.objectContaining({ sha256: sha256Of(bytes), size: bytes.length }) });

describe('model files that the grid gives', () => {
  it('are fetched, checked and there again after a start', async () => {
    expect(await fetchModel()).toMatchObject({ name: 'tiny', contextSize: 512, ...hashes(model) });
    expect(progress).toEqual([0, CHUNK, 2 * CHUNK, model.length]);
    const again = new ModelFiles({ folder, quotaBytes: 0, inUse: () => new Set() });
    expect(await again.list()).toMatchObject([{ name: 'tiny', contextSize: 512, ...hashes(model) }]);
    expect(readdirSync(folder).sort()).toEqual([`${sha256Of(model)}.gguf`, `${sha256Of(model)}.json`]);
  });

  it('go on at the last whole chunk when the line breaks', async () => {
    server.cutAfter = CHUNK + 1_000;
    await fetchModel();
    expect(server.requests.map((r) => r.range)).toEqual(['bytes=0-', `bytes=${CHUNK}-`, `bytes=${2 * CHUNK}-`]);
  });

  it('fetch a spoilt chunk anew, and only that one', async () => {
    let spoilt = 0;
    server.spoil = (bytes, at) => {
      if (at !== 0 || spoilt++ > 0) return bytes;
      const bad = Buffer.from(bytes);
      bad[CHUNK + 5] = (bad[CHUNK + 5] ?? 0) ^ 1;
      return bad;
    };
    expect(await fetchModel()).toMatchObject(hashes(model));
    expect(server.requests.map((r) => r.range)).toEqual(['bytes=0-', `bytes=${CHUNK}-`]);
  });

  it('are given up when the same chunk stays spoilt; nothing is offered', async () => {
    server.spoil = (bytes, at) =>
      at === 0 ? bytes.map((b, i) => (i === CHUNK + 5 ? b ^ 1 : b)) : bytes.map((b, i) => (i === 5 ? b ^ 1 : b));
    await expect(fetchModel()).rejects.toThrow('not what was promised');
    expect(await files.list()).toEqual([]);
  });

  it('are refused when the list of hashes does not fit the file', async () => {
    const wrong = { ...order(), size: model.length + CHUNK };
    await expect(files.fetch('tiny', sha256Of(model), wrong, transfer(), () => {})).rejects.toThrow('does not fit');
    expect(server.requests).toEqual([]);
  });

  it('are refused when every chunk is right and the whole is not what its name says', async () => {
    await expect(files.fetch('tiny', '0'.repeat(64), order(), transfer(), () => {})).rejects.toThrow('other bytes');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('are refused when they are no model', async () => {
    await expect(fetchModel(randomBytes(1_000))).rejects.toMatchObject({ code: 'MODEL_FAILED' });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('make room by deleting what was used longest ago, and never what is in use', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((last) => Buffer.concat([model, Buffer.from(last)]));
    if (a === undefined || b === undefined || c === undefined) throw new Error('there are three');
    const busy = new Set<string>();
    const small = new ModelFiles({ folder, quotaBytes: 6 * CHUNK, inUse: () => busy });
    await fetchModel(a, small);
    await fetchModel(b, small);
    await small.used(sha256Of(a), new Date(2_000_000));
    await small.used(sha256Of(b), new Date(1_000_000));
    await fetchModel(c, small);
    expect(existsSync(path.join(folder, `${sha256Of(b)}.gguf`))).toBe(false);
    expect((await small.list()).map((m) => m.file.sha256).sort()).toEqual([sha256Of(a), sha256Of(c)].sort());

    busy.add(sha256Of(a)).add(sha256Of(c));
    await expect(fetchModel(b, small)).rejects.toThrow('no room');
    expect(await small.list()).toHaveLength(2);
  });

  it('that somebody changed on the disk are deleted and not offered', async () => {
    await fetchModel();
    writeFileSync(path.join(folder, `${sha256Of(model)}.gguf`), Buffer.concat([encodeGguf(tinyLlama()), Buffer.from('!')]));
    expect(await files.list()).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });
});
