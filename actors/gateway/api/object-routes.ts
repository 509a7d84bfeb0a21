import type { FastifyInstance } from 'fastify';

import { ObjectRef } from '#actors/contract/primitives.ts';
import { SweepOrder } from '#actors/contract/sweep-report.ts';
import { wantObject } from '#actors/want-object.ts';
import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, parse, requireAdmin } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const UPLOAD_TTL_SECONDS = 3_600;
/** A first sweep of a large store looks at every object. */
const SWEEP = { timeoutMs: 3_600_000 };

/** Bytes that submissions name, and the end of those that nobody wants. */
export function objectRoutes(app: FastifyInstance, { tenants, services, host, keeper }: GatewayArgs): void {
  app.post('/api/objects', async (request) => {
    await authenticate(tenants, bearerOf(request));
    const ref = parse(ObjectRef, request.body);
    const stored = await wantObject(services, ref, host.clock.wall());
    if (stored !== null && stored.size !== ref.size) {
      throw new GridError('HASH_MISMATCH', `an object with this hash is stored and has ${stored.size} bytes`, { path: 'size' });
    }
    return stored === null ? { state: 'missing', put: await services.objects.presignPut(ref, UPLOAD_TTL_SECONDS) } : { state: 'present' };
  });

  app.post('/api/objects/sweep', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return keeper.sweep(parse(SweepOrder, request.body ?? {}), SWEEP);
  });
}
