import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';

import * as noble from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { GridError } from '#runtime/errors.ts';
import { fingerprint } from '#runtime/identity/digest.ts';
import { generateKeyPair, loadOrCreateKey } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

noble.hashes.sha512 = sha512;

let base: string;
let folder: string;
let file: string;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'corpgrid-keys-'));
  folder = join(base, 'identity', 'deep');
  file = join(folder, 'device.key');
});

afterEach(() => {
  rmSync(base, { recursive: true, force: true });
  expect(existsSync(base)).toBe(false);
});

function refusal(action: () => unknown): GridError {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(GridError);
    return error as GridError;
  }
  throw new Error('expected a refusal');
}

const mode = (path: string): number => statSync(path).mode & 0o777;

describe('a key pair', () => {
  it('derives and signs as RFC 8032 and the library do', () => {
    const seed = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
    const pair = generateKeyPair(() => seed);
    expect(pair.publicKey).toBe('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
    const message = new TextEncoder().encode('the same bytes');
    const signature = pair.sign(message);
    expect(Buffer.from(signature)).toEqual(Buffer.from(noble.sign(message, seed)));
    expect(verify(signature, message, pair.publicKey)).toBe(true);
  });

  it('is new every time, and refuses a seed of another length', () => {
    expect(generateKeyPair().publicKey).not.toBe(generateKeyPair().publicKey);
    expect(() => generateKeyPair(() => new Uint8Array(31))).toThrow(RangeError);
  });

  it('does not carry its secret where it could be printed', () => {
    expect(Object.keys(generateKeyPair()).toSorted()).toEqual(['publicKey', 'sign']);
  });

  it('has a fingerprint of 16 hex digits', () => {
    expect(fingerprint('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a')).toMatch(/^[0-9a-f]{16}$/);
  });
});

describe('a key file', () => {
  it('is made once, closed to others, and read on the next start', () => {
    const first = loadOrCreateKey(folder, 'device');
    expect(mode(folder)).toBe(0o700);
    expect(mode(file)).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['device.key']);
    expect(lstatSync(file).nlink).toBe(1);
    expect(readFileSync(file, 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    expect(loadOrCreateKey(folder, 'device').publicKey).toBe(first.publicKey);
  });

  it('holds the injected randomness', () => {
    const seed = Buffer.alloc(32, 7);
    expect(loadOrCreateKey(folder, 'device', { random: () => seed }).publicKey).toBe(generateKeyPair(() => seed).publicKey);
  });

  it('keeps several names apart', () => {
    expect(loadOrCreateKey(folder, 'device').publicKey).not.toBe(loadOrCreateKey(folder, 'grid').publicKey);
  });

  it.each(['640', '604', '660', '620', '601'])('is refused with mode %s, and the fix names the command', (digits) => {
    const wide = Number.parseInt(digits, 8);
    loadOrCreateKey(folder, 'device');
    chmodSync(file, wide);
    const error = refusal(() => loadOrCreateKey(folder, 'device'));
    expect(error.code).toBe('INSECURE_KEY');
    expect(error.fix).toBe(`Run: chmod 600 ${file}`);
    expect(error.message).toContain(digits);
    chmodSync(file, 0o600);
    expect(loadOrCreateKey(folder, 'device').publicKey).toHaveLength(64);
  });

  it.each(['750', '705', '711', '777'])('is refused in a folder of mode %s', (digits) => {
    const wide = Number.parseInt(digits, 8);
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, wide);
    const error = refusal(() => loadOrCreateKey(folder, 'device'));
    expect(error.code).toBe('INSECURE_KEY');
    expect(error.fix).toBe(`Run: chmod 700 ${folder}`);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is refused when somebody else owns it', () => {
    loadOrCreateKey(folder, 'device');
    const other = statSync(file).uid + 1;
    const error = refusal(() => loadOrCreateKey(folder, 'device', { uid: other }));
    expect(error.code).toBe('INSECURE_KEY');
    expect(error.fix).toContain(`chown ${other} ${folder} && chmod 700`);
  });

  it('is refused when it is a link', () => {
    loadOrCreateKey(folder, 'device');
    symlinkSync(file, join(folder, 'grid.key'));
    expect(refusal(() => loadOrCreateKey(folder, 'grid')).code).toBe('INSECURE_KEY');
  });

  it('is refused when it holds something else, and stays as it is', () => {
    loadOrCreateKey(folder, 'device');
    const x25519 = generateKeyPairSync('x25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
    for (const content of ['', 'not a key', x25519]) {
      writeFileSync(file, content);
      expect(refusal(() => loadOrCreateKey(folder, 'device')).code).toBe('BAD_CONFIGURATION');
      expect(readFileSync(file, 'utf8')).toBe(content);
    }
    rmSync(file);
    mkdirSync(file);
    expect(refusal(() => loadOrCreateKey(folder, 'device')).code).toBe('BAD_CONFIGURATION');
  });

  it('needs a folder that is one, and a name that is one', () => {
    const blocked = join(base, 'file');
    writeFileSync(blocked, '');
    expect(refusal(() => loadOrCreateKey(blocked, 'device')).code).toBe('BAD_CONFIGURATION');
    for (const name of ['', '../device', 'a/b', '.hidden', 'Device', 'a\0b']) {
      expect(refusal(() => loadOrCreateKey(folder, name)).code).toBe('BAD_CONFIGURATION');
    }
  });

  it('leaves no copy of the secret behind from a start that died', () => {
    loadOrCreateKey(folder, 'device');
    writeFileSync(join(folder, '.device.key.new-0011'), 'half a secret', { mode: 0o600 });
    writeFileSync(join(folder, '.grid.key.new-0011'), 'of another key', { mode: 0o600 });
    loadOrCreateKey(folder, 'device');
    expect(readdirSync(folder).toSorted()).toEqual(['.grid.key.new-0011', 'device.key']);
  });

  it('is the same for eight starts at once', async () => {
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const source = `
      const { workerData, parentPort } = require('node:worker_threads');
      import(workerData.module).then(({ loadOrCreateKey }) => {
        parentPort.postMessage('ready');
        Atomics.wait(workerData.gate, 0, 0);
        parentPort.postMessage(loadOrCreateKey(workerData.folder, 'device').publicKey);
      });`;
    const module = new URL('../../../../runtime/identity/keys.ts', import.meta.url).href;
    const workers = Array.from({ length: 8 }, () => new Worker(source, { eval: true, workerData: { module, folder, gate } }));
    const next = (worker: Worker): Promise<unknown> =>
      new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await Promise.all(workers.map(next));
    const keys = workers.map(next);
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    expect(new Set(await Promise.all(keys)).size).toBe(1);
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect(readdirSync(folder)).toEqual(['device.key']);
  });
});
