import { createServer } from 'node:http';
import { existsSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

import { describe, expect, it, onTestFinished } from 'vitest';

import { RotateRequest, rotateBytes } from '#actors/contract/former-keys.ts';
import { rotateKey } from '#agent/session/rotate-key.ts';
import { loadOrCreateKey } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';
import type { Log } from '#runtime/observe/log.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const log: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => log };

/** A door that answers each request with the next of these statuses and keeps what was asked. */
async function door(...statuses: number[]) {
  const asked: RotateRequest[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => void (body += chunk.toString()));
    request.on('end', () => {
      asked.push(RotateRequest.parse(JSON.parse(body)));
      response.writeHead(statuses.shift() ?? 500, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise((resolve) => void server.close(() => resolve())));
  const { port } = server.address() as AddressInfo;
  return { asked, membership: { url: `http://127.0.0.1:${port}`, device: 'dev-0000000001', gridKey: 'a'.repeat(64), name: 'one' } };
}

describe('the key of a machine', () => {
  it('is replaced when the grid has the new one, which both keys have signed', async () => {
    const folder = path.join(await temporaryFolder('rotate'), 'keys');
    const key = loadOrCreateKey(folder, 'device');
    const { asked, membership } = await door(200);
    const next = await rotateKey({ folder, key, membership, unsettled: 0, wanted: true, log });
    expect(next.publicKey).not.toBe(key.publicKey);
    expect(loadOrCreateKey(folder, 'device').publicKey).toBe(next.publicKey);
    const [request] = asked;
    const bytes = request === undefined ? new Uint8Array() : rotateBytes(request);
    expect(verify(request?.leave ?? '', bytes, key.publicKey)).toBe(true);
    expect(verify(request?.enter ?? '', bytes, next.publicKey)).toBe(true);
  });

  it('is asked for again with the same new key after an answer that was lost', async () => {
    const folder = path.join(await temporaryFolder('rotate'), 'keys');
    const key = loadOrCreateKey(folder, 'device');
    const { asked, membership } = await door(503, 200);
    await expect(rotateKey({ folder, key, membership, unsettled: 0, wanted: true, log })).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(loadOrCreateKey(folder, 'device').publicKey).toBe(key.publicKey);
    const next = await rotateKey({ folder, key, membership, unsettled: 0, wanted: false, log });
    expect(asked.map(({ to }) => to)).toEqual([next.publicKey, next.publicKey]);
    expect(existsSync(path.join(folder, 'device-next.key'))).toBe(false);
  });

  it('stays while votes that it signed are not settled, and when nobody asked', async () => {
    const folder = path.join(await temporaryFolder('rotate'), 'keys');
    const key = loadOrCreateKey(folder, 'device');
    const { asked, membership } = await door();
    expect(await rotateKey({ folder, key, membership, unsettled: 2, wanted: true, log })).toBe(key);
    expect(await rotateKey({ folder, key, membership, unsettled: 0, wanted: false, log })).toBe(key);
    expect(asked).toEqual([]);
  });
});
