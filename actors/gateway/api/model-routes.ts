import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { AddModel, LoadModel, ModelName, PullModel, type ModelReport } from '#actors/contract/models.ts';
import type { ModelPoolRef, PoolReport } from '#actors/model-pool/model-pool.protocol.ts';
import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, parse, requireAdmin } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

const ByName = z.object({ name: ModelName });
const ByPull = z.object({ id: z.string().max(100) });

const ASK = { timeoutMs: 10_000 };
/** A file that was uploaded is read once before it is known by name. */
const CHECK = { timeoutMs: 600_000 };

/** The models that the grid serves or could serve. Everybody may look, administrators change. */
export function modelRoutes(app: FastifyInstance, { tenants, models, hub }: GatewayArgs): void {
  app.get('/api/models', async (request) => {
    await authenticate(tenants, bearerOf(request));
    const reports = await models.list(undefined, ASK);
    return reports.map(modelReport).sort((a, b) => (a.name < b.name ? -1 : 1));
  });

  app.post('/api/models', async (request, reply) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { name, sha256, size } = await hub.add(parse(AddModel, request.body), CHECK);
    return reply.code(201).send({ name, sha256, size });
  });

  app.post('/api/models/pull', async (request, reply) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return reply.code(202).send(await hub.pull(parse(PullModel, request.body), ASK));
  });

  app.get('/api/models/pulls', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return hub.pulls(undefined, ASK);
  });

  app.get('/api/models/pulls/:id', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { id } = parse(ByPull, request.params);
    const found = (await hub.pulls(undefined, ASK)).find((p) => p.id === id);
    if (found === undefined) throw new GridError('NOT_FOUND', `there is no pull ${id}`);
    return found;
  });

  app.delete('/api/models/:name', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { name } = parse(ByName, request.params);
    if (!(await hub.remove(name, ASK))) throw unknown(name);
    return { name, removed: true };
  });

  for (const action of ['load', 'unload'] as const) {
    app.post(`/api/models/:name/${action}`, async (request) => {
      requireAdmin(await authenticate(tenants, bearerOf(request)));
      const { name } = parse(ByName, request.params);
      const { device } = parse(LoadModel, request.body ?? {});
      const pool = await poolOf(name);
      await pool[action]({ device }, ASK);
      return modelReport(await pool.report(undefined, ASK));
    });
  }

  async function poolOf(name: string): Promise<ModelPoolRef> {
    const found = await models.find(name, ASK);
    if (found === null) throw unknown(name);
    return found.pool;
  }
}

function unknown(name: string): GridError {
  return new GridError('NOT_FOUND', `there is no model ${name}`, { path: 'name', fix: '`corpgrid models` lists those that are there' });
}

function modelReport({ model, stored, fitsOn, needsBytes, replicas }: PoolReport): ModelReport {
  const { name, sha256, size } = model;
  const header = stored?.header;
  return {
    name,
    sha256,
    size,
    stored: stored !== null,
    source: stored?.source ?? null,
    createdAt: stored?.createdAt ?? null,
    facts:
      header === undefined
        ? null
        : {
            architecture: header.architecture,
            contextLength: header.contextLength,
            vocabularySize: header.vocabularySize,
            hasChatTemplate: header.hasChatTemplate,
            weightBytes: header.weightBytes,
          },
    needsBytes,
    fitsOn,
    replicas,
  };
}
