import type { FastifyInstance } from 'fastify';

import type { Revive } from '#actors/generation/revive.ts';
import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, serverRefusal } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';
import { Door } from './admission.ts';
import { batchRoutes } from './batch-routes.ts';
import { Batches } from './batches.ts';
import { chatWhole, serveChat } from './chat.ts';
import { modelList, modelObject } from './chunks.ts';
import { completionWhole, serveCompletion } from './completions.ts';
import { type OpenAiContext, retryHeaders, sendWhole } from './endpoint.ts';
import { modelNotFound, openAiError } from './errors.ts';
import { fileRoutes } from './files.ts';
import { KeptStreams } from './kept-streams.ts';
import { serveResponses } from './responses.ts';
import { reviver } from './revived-streams.ts';
import { streamRoutes } from './stream-routes.ts';
import { embeddingWhole, rerankWhole } from './tasks.ts';

const ASK = { timeoutMs: 5_000 };

/** The OpenAI-compatible door. Answers how streams of an earlier coordinator are taken up. */
export function openaiRoutes(app: FastifyInstance, args: GatewayArgs): Revive {
  const { tenants, models, host, services } = args;
  const streams = new KeptStreams(host);
  const context: OpenAiContext & { readonly streams: KeptStreams } = { args, door: new Door(services.store, host.clock), streams };

  void app.register(async (scope) => {
    scope.addHook('onClose', async () => streams.close());
    scope.setErrorHandler(async (error, request, reply) => {
      const refused = serverRefusal(error);
      const known = refused && new GridError(refused.status === 413 ? 'TOO_LARGE' : 'BAD_REQUEST', refused.message);
      const answer = openAiError(known ?? error, request.id);
      if (answer.status === 500) services.log.error({ error, requestId: request.id }, 'openai request failed');
      await reply.code(answer.status).headers(retryHeaders(error, answer.status)).send(answer.body);
    });
    scope.addHook('onSend', async (_request, reply) => {
      void reply.header('openai-processing-ms', String(Math.round(reply.elapsedTime)));
    });

    scope.get('/v1/models', async (request) => {
      await authenticate(tenants, bearerOf(request));
      const list = await models.names(undefined, ASK);
      return modelList(list.map(({ model, createdAt }) => modelObject(model.name, Math.floor(createdAt / 1_000))));
    });

    scope.get<{ Params: { model: string } }>('/v1/models/:model', async (request) => {
      await authenticate(tenants, bearerOf(request));
      const { model } = request.params;
      const found = await models.find(model, ASK);
      if (found === null) throw modelNotFound(model);
      return modelObject(model, Math.floor(found.createdAt / 1_000));
    });

    scope.post('/v1/chat/completions', async (request, reply) => {
      const by = await authenticate(tenants, bearerOf(request));
      return serveChat(context, { by, body: request.body, requestId: request.id }, { request, reply });
    });

    scope.post('/v1/completions', async (request, reply) => {
      const by = await authenticate(tenants, bearerOf(request));
      return serveCompletion(context, { by, body: request.body, requestId: request.id }, { request, reply });
    });

    scope.post('/v1/responses', async (request, reply) => {
      const by = await authenticate(tenants, bearerOf(request));
      return serveResponses(context, { by, body: request.body, requestId: request.id }, { request, reply });
    });

    for (const [path, whole] of [
      ['/v1/embeddings', embeddingWhole],
      ['/v1/rerank', rerankWhole],
    ] as const) {
      scope.post(path, async (request, reply) => {
        const by = await authenticate(tenants, bearerOf(request));
        return sendWhole(reply, await whole(context, { by, body: request.body, requestId: request.id }));
      });
    }

    streamRoutes(scope, context);
    fileRoutes(scope, context);
    const batches = new Batches(context, {
      '/v1/chat/completions': chatWhole,
      '/v1/completions': completionWhole,
      '/v1/embeddings': embeddingWhole,
      '/v1/rerank': rerankWhole,
    });
    batchRoutes(scope, context, batches);
    scope.addHook('onListen', async () => batches.resume());
    scope.addHook('onClose', async () => batches.close());
  });
  return reviver(args, streams);
}
