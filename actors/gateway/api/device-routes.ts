import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { MAX_GRACE_SECONDS } from '#actors/contract/agent-link.ts';
import { DeviceId, Sha256 } from '#actors/contract/primitives.ts';

import { authenticate, bearerOf, parse, requireAdmin } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const ById = z.object({ id: DeviceId });
const DrainOrder = z.strictObject({ graceSeconds: z.number().int().min(0).max(MAX_GRACE_SECONDS).optional() });
const OfApp = z.strictObject({ app: Sha256 });

export function deviceRoutes(app: FastifyInstance, { tenants, deviceDesk }: GatewayArgs): void {
  app.get('/api/devices', async (request) => {
    await authenticate(tenants, bearerOf(request));
    return deviceDesk.list();
  });

  app.get('/api/devices/:id', async (request) => {
    await authenticate(tenants, bearerOf(request));
    return deviceDesk.find(parse(ById, request.params).id);
  });

  app.get('/api/cluster', async (request) => {
    await authenticate(tenants, bearerOf(request));
    return deviceDesk.cluster();
  });

  app.post('/api/devices/:id/drain', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { graceSeconds } = parse(DrainOrder, request.body ?? {});
    return deviceDesk.drain(parse(ById, request.params).id, true, graceSeconds);
  });

  app.post('/api/devices/:id/undrain', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return deviceDesk.drain(parse(ById, request.params).id, false);
  });

  app.get('/api/devices/:id/trust', async (request) => {
    await authenticate(tenants, bearerOf(request));
    return deviceDesk.trust(parse(ById, request.params).id);
  });

  app.post('/api/devices/:id/pardon', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return deviceDesk.pardon(parse(ById, request.params).id, parse(OfApp, request.body).app);
  });

  app.post('/api/devices/:id/revoke', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return deviceDesk.revoke(parse(ById, request.params).id);
  });
}
