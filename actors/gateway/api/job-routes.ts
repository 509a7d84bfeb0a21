import type { Readable } from 'node:stream';

import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';

import { Submission } from '#actors/contract/job-spec.ts';
import { JobId, MAX_SHARDS, type ObjectRef } from '#actors/contract/primitives.ts';
import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, parse, tenantScope } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const ById = z.object({ id: JobId });
const ByShard = z.object({ id: JobId, index: z.coerce.number().int().min(0).max(MAX_SHARDS) });
const Listing = z.object({ limit: z.coerce.number().int().min(1).max(1_000).default(100) });

const History = z.object({
  shard: z.coerce.number().int().min(0).max(MAX_SHARDS).optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(100),
  trouble: z.stringbool().default(false),
});

/** Jobs, their outputs and receipts. */
export function jobRoutes(app: FastifyInstance, { tenants, jobs, services }: GatewayArgs): void {
  const { objects } = services;

  app.post('/api/jobs', async (request, reply) => {
    const by = await authenticate(tenants, bearerOf(request));
    const submission = parse(Submission, request.body, 'BAD_SPEC');
    const summary = await jobs.submit(submission, { tenant: by.tenant, name: by.name, role: by.role });
    return reply.code(201).send(summary);
  });

  app.get('/api/jobs', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    return jobs.list(tenantScope(by), parse(Listing, request.query).limit);
  });

  app.get('/api/jobs/:id', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { summary } = await jobs.snapshot(parse(ById, request.params).id, tenantScope(by));
    return summary;
  });

  for (const action of ['pause', 'resume', 'cancel'] as const) {
    app.post(`/api/jobs/:id/${action}`, async (request) => {
      const by = await authenticate(tenants, bearerOf(request));
      return jobs.control(parse(ById, request.params).id, action, tenantScope(by));
    });
  }

  app.get('/api/jobs/:id/outputs', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    return jobs.outputs(parse(ById, request.params).id, tenantScope(by));
  });

  app.get('/api/jobs/:id/receipts', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    return jobs.receipts(parse(ById, request.params).id, 'all', tenantScope(by));
  });

  app.get('/api/jobs/:id/result', async (request, reply) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { id } = parse(ById, request.params);
    const { summary } = await jobs.snapshot(id, tenantScope(by));
    if (!summary.hasMerge) {
      throw new GridError('CONFLICT', 'the job has no merge step, so it has one output per shard', {
        fix: 'read /api/jobs/ID/outputs, or use `corpgrid results ID --out DIR`',
      });
    }
    return sendOutput(reply, await jobs.output(id, summary.shards - 1, tenantScope(by)));
  });

  app.get('/api/jobs/:id/shards/:index', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { id, index } = parse(ByShard, request.params);
    return jobs.shard(id, index, tenantScope(by));
  });

  app.get('/api/jobs/:id/log', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { shard = null, limit, trouble } = parse(History, request.query);
    return jobs.history(parse(ById, request.params).id, { index: shard, limit, trouble }, tenantScope(by));
  });

  app.get('/api/jobs/:id/why', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    return jobs.why(parse(ById, request.params).id, null, tenantScope(by));
  });

  app.get('/api/jobs/:id/shards/:index/why', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { id, index } = parse(ByShard, request.params);
    return jobs.why(id, index, tenantScope(by));
  });

  app.get('/api/jobs/:id/shards/:index/output', async (request, reply) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { id, index } = parse(ByShard, request.params);
    return sendOutput(reply, await jobs.output(id, index, tenantScope(by)));
  });

  app.get('/api/jobs/:id/shards/:index/receipt', async (request) => {
    const by = await authenticate(tenants, bearerOf(request));
    const { id, index } = parse(ByShard, request.params);
    const [receipt] = await jobs.receipts(id, [index], tenantScope(by));
    if (receipt === undefined) throw new GridError('NOT_FOUND', `job ${id} has no shard ${index}`);
    return receipt;
  });

  async function sendOutput(reply: FastifyReply, { ref, bytes }: { ref: ObjectRef; bytes: Uint8Array | null }): Promise<FastifyReply> {
    // An output is somebody's program's bytes: no browser may run it as a page of ours.
    void reply
      .type('application/octet-stream')
      .header('content-disposition', 'attachment')
      .header('content-security-policy', "sandbox; default-src 'none'")
      .header('etag', `"${ref.sha256}"`);
    if (bytes !== null) return reply.send(Buffer.from(bytes));
    const opened = await objects.open(ref.sha256);
    if (opened === null) throw new GridError('OBJECT_MISSING', `object ${ref.sha256} is gone from the store`);
    return reply.header('content-length', opened.size).send(opened.stream satisfies Readable);
  }
}
