import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { authenticate, bearerOf, parse, requireAdmin, tenantScope } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const ASK = { timeoutMs: 10_000 };
const Query = z.strictObject({
  tenant: z.string().max(120).optional(),
  key: z.string().max(120).optional(),
  /** Milliseconds since 1970; `to` is not included. */
  from: z.coerce.number().int().min(0).default(0),
  to: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(Number.MAX_SAFE_INTEGER),
});
const ById = z.object({ id: z.string().min(1).max(100) });
const Limit = z.number().int().min(1).nullable().default(null);
const Limits = z.strictObject({
  requestsPerMinute: Limit.refine((value) => value === null || value <= 0x7fff_ffff, 'too large'),
  tokensPerMinute: Limit.refine((value) => value === null || value <= 0x7fff_ffff, 'too large'),
  monthlyTokens: Limit,
});

/** What models were used for, and by whom; and how much of them a key may use. */
export function usageRoutes(app: FastifyInstance, { tenants, services, usageLog }: GatewayArgs): void {
  /** Sums by tenant, key and model. A key that is no administrator's sees its own tenant. */
  app.get('/api/usage', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { tenant, key, from, to } = parse(Query, request.query);
    await usageLog.flush(undefined, ASK);
    return services.store.usageSums({ tenant: tenantScope(by) ?? tenant ?? null, apiKey: key ?? null, from, to });
  });

  app.get('/api/keys/:id/limits', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return services.store.keyLimits(parse(ById, request.params).id);
  });

  app.put('/api/keys/:id/limits', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { id } = parse(ById, request.params);
    await services.store.setKeyLimits(id, parse(Limits, request.body ?? {}));
    return services.store.keyLimits(id);
  });
}
