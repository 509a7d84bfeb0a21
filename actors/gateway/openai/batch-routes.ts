import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import type { BatchRow } from '#actors/store/store.ts';
import type { Principal } from '#actors/tenant/tenant.protocol.ts';
import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, parse } from '../door.ts';
import type { BatchObject } from './batch-object.ts';
import { type Batches, parseBatch } from './batches.ts';
import { nowInSeconds, type OpenAiContext } from './endpoint.ts';
import { BadChatRequest } from './errors.ts';
import { findFile } from './files.ts';
import { badChatRequest } from './schema-errors.ts';
import { optional } from './schema-parts.ts';

const DAY_SECONDS = 86_400;
const Body = z.strictObject({
  input_file_id: z.string().min(1).max(200),
  endpoint: z.string().min(1).max(200),
  completion_window: z.literal('24h'),
  metadata: optional(z.record(z.string().max(64), z.string().max(512))),
});
const Params = z.object({ id: z.string().regex(/^batch_[\w-]{1,100}$/) });
const Query = z.object({ limit: z.coerce.number().int().min(1).max(100).default(20), after: z.string().max(200).optional() });
const UNBEGUN = {
  in_progress_at: null, finalizing_at: null, completed_at: null, failed_at: null, expired_at: null, cancelling_at: null, cancelled_at: null,
}; // prettier-ignore

/** `/v1/batches`. */
export function batchRoutes(scope: FastifyInstance, context: OpenAiContext, batches: Batches): void {
  const { tenants, services, randomId, host } = context.args;
  const { store } = services;

  async function find(id: string, by: Principal): Promise<BatchRow> {
    const row = await store.findBatch(id);
    if (row === null || row.tenant !== by.tenant) throw new GridError('NOT_FOUND', `No batch found with id '${id}'.`, { path: 'id' });
    return row;
  }
  const shown = (row: BatchRow): BatchObject => batches.current(row.id) ?? parseBatch(row);

  scope.post('/v1/batches', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const parsed = Body.safeParse(request.body);
    if (!parsed.success) throw badChatRequest(request.body, parsed.error.issues);
    const { input_file_id: input, endpoint, completion_window: window, metadata } = parsed.data;
    if (!batches.serves(endpoint))
      throw new BadChatRequest('invalid_value', 'endpoint', `Invalid value for 'endpoint': '${endpoint}' is not served in batches.`);
    await findFile(context, input, by.tenant);
    const now = nowInSeconds(context);
    const batch: BatchObject = {
      id: `batch_${randomId()}`,
      object: 'batch',
      endpoint,
      model: null,
      errors: null,
      input_file_id: input,
      completion_window: window,
      status: 'validating',
      output_file_id: null,
      error_file_id: null,
      created_at: now,
      expires_at: now + DAY_SECONDS,
      ...UNBEGUN,
      request_counts: { total: 0, completed: 0, failed: 0 },
      metadata: metadata ?? null,
    };
    const row = {
      id: batch.id,
      tenant: by.tenant,
      apiKey: by.keyId,
      open: true,
      body: JSON.stringify(batch),
      createdAt: host.clock.wall(),
    };
    await store.saveBatch(row);
    batches.start(row);
    return batch;
  });

  scope.get('/v1/batches', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { limit, after } = parse(Query, request.query);
    const all = await store.listBatches(by.tenant, 10_000);
    const begin = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
    const rows = all.slice(begin, begin + limit);
    const [first, last] = [rows[0]?.id ?? null, rows.at(-1)?.id ?? null];
    return { object: 'list', data: rows.map(shown), first_id: first, last_id: last, has_more: begin + limit < all.length };
  });

  scope.get('/v1/batches/:id', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    return shown(await find(parse(Params, request.params).id, by));
  });

  scope.post('/v1/batches/:id/cancel', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const row = await find(parse(Params, request.params).id, by);
    return (await batches.cancel(row)) ?? shown(row);
  });
}
