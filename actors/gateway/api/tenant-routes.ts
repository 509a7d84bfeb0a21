import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { PolicyChange, TenantName, type TenantSummary } from '#actors/contract/tenant-policy.ts';
import { DEFAULT_POLICY } from '#actors/store/tenant-policy.ts';

import { authenticate, bearerOf, parse, requireAdmin } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const ByName = z.object({ name: TenantName });

/** Quotas and weights of tenants: administrators only. */
export function tenantRoutes(app: FastifyInstance, { tenants, services, placement, host }: GatewayArgs): void {
  app.get('/api/tenants', async (request): Promise<TenantSummary[]> => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return Array.from(await services.store.tenantPolicies(), ([name, policy]) => ({ name, ...policy }));
  });

  app.put('/api/tenants/:name', async (request): Promise<TenantSummary> => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { name } = parse(ByName, request.params);
    const change = parse(PolicyChange, request.body ?? {});
    const before = (await services.store.tenantPolicies()).get(name) ?? DEFAULT_POLICY;
    const policy = {
      weight: change.weight ?? before.weight,
      maxRunning: change.maxRunning === undefined ? before.maxRunning : change.maxRunning,
      maxGpus: change.maxGpus === undefined ? before.maxGpus : change.maxGpus,
    };
    await services.store.setTenantPolicy(name, policy, host.clock.wall());
    placement.policiesChanged();
    return { name, ...policy };
  });
}
