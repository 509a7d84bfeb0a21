import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { Label } from '#actors/contract/primitives.ts';
import { TenantName } from '#actors/contract/tenant-policy.ts';
import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, parse, requireAdmin } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const NewKey = z.strictObject({
  name: Label,
  tenant: TenantName.default('default'),
  role: z.enum(['admin', 'submitter']).default('submitter'),
});
const NewToken = z.strictObject({
  name: Label.default('a machine'),
  uses: z.number().int().min(1).max(10_000).default(1),
  ttlSeconds: z
    .number()
    .int()
    .min(60)
    .max(30 * 86_400)
    .default(86_400),
  owner: Label.optional(),
  trusted: z.boolean().default(false),
});
const ById = z.object({ id: z.string().min(1).max(100) });
const Events = z.object({ subject: z.string().max(200).optional(), limit: z.coerce.number().int().min(1).max(1_000).default(100) });

const ASK = { timeoutMs: 5_000 };

/** Keys, enrolment tokens and events: administrators only. Secrets are answered once and never again. */
export function adminRoutes(app: FastifyInstance, { tenants, services }: GatewayArgs): void {
  app.post('/api/keys', async (request, reply) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { key, row } = await tenants.createKey(parse(NewKey, request.body ?? {}), ASK);
    return reply.code(201).send({ ...row, key });
  });

  app.get('/api/keys', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return tenants.listKeys(undefined, ASK);
  });

  app.post('/api/keys/:id/revoke', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    requireAdmin(by);
    const { id } = parse(ById, request.params);
    if (id === by.keyId) throw new GridError('CONFLICT', 'a key cannot revoke itself', { path: 'id', fix: 'use another admin key' });
    if (!(await tenants.revokeKey(id, ASK))) throw new GridError('NOT_FOUND', `no key ${id} that is not revoked`);
    return { id, revoked: true };
  });

  app.post('/api/tokens', async (request, reply) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { owner, ...token } = parse(NewToken, request.body ?? {});
    const made = await tenants.createToken({ ...token, ...(owner === undefined ? {} : { owner }) }, ASK);
    return reply.code(201).send({ ...made, gridKey: services.key.publicKey });
  });

  app.get('/api/events', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { subject, limit } = parse(Events, request.query);
    return services.store.listEvents(subject ?? null, limit);
  });

  app.get('/api/whoami', async (request) => {
    const { name, tenant, role } = await authenticate(tenants, bearerOf(request));
    return { name, tenant, role, gridKey: services.key.publicKey };
  });
}
