import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { type KeyList, keyListBytes, type SignedKeyList } from '#actors/contract/former-keys.ts';
import { toHex } from '#actors/contract/hex.ts';
import { proveGrowth, signHead } from '#actors/contract/manifest-log.ts';
import { GridError } from '#runtime/errors.ts';
import { sha256 } from '#runtime/identity/digest.ts';

import { authenticate, bearerOf, parse } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const From = z.object({ from: z.coerce.number().int().min(1) });

/** The log of manifests: its signed head, and proofs that it only grew. It names no tenant and no job. */
export function logRoutes(app: FastifyInstance, { tenants, services, host }: GatewayArgs): void {
  async function readLog() {
    const leaves = await services.store.manifestLog(null);
    if (leaves.length === 0) throw new GridError('NOT_FOUND', 'no job was sealed yet: the log is empty');
    return { leaves, log: signHead(leaves, { key: services.key, at: host.clock.wall(), sha256 }) };
  }

  app.get('/api/log', async (request) => {
    await authenticate(tenants, bearerOf(request));
    return (await readLog()).log;
  });

  app.get('/api/log/growth', async (request) => {
    await authenticate(tenants, bearerOf(request));
    const { from } = parse(From, request.query);
    const { leaves, log } = await readLog();
    if (from > leaves.length) {
      throw new GridError('CONFLICT', `the log has ${leaves.length} manifests, not ${from}`, {
        path: 'from',
        fix: 'either this is another grid, or its log was cut: keep the head that you have as evidence',
      });
    }
    return proveGrowth(leaves, from, log, sha256);
  });

  app.get('/api/log/keys', async (request): Promise<SignedKeyList> => {
    await authenticate(tenants, bearerOf(request));
    const keys = [...(await services.store.formerKeys())];
    const list: KeyList = { version: 1, gridKey: services.key.publicKey, at: host.clock.wall(), keys };
    return { list, signature: toHex(services.key.sign(keyListBytes(list))) };
  });
}
