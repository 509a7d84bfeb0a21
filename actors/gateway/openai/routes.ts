import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { GenerationSink } from '#actors/generation/generation.actor.ts';
import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, serverRefusal } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';
import {
  chatCompletion,
  createChunks,
  modelList,
  modelObject,
  SSE_DONE,
  SSE_KEEP_ALIVE,
  sseEvent,
  usageOf,
  type AnswerHead,
} from './chunks.ts';
import { generationRefused, modelNotFound, openAiError, type OpenAiErrorReply } from './errors.ts';
import { parseChatRequest, type ChatRequest } from './schema.ts';

const ASK = { timeoutMs: 5_000 };
const KEEP_ALIVE_MS = 10_000;

/** The OpenAI-compatible door: models and chat completions, streamed and whole. */
export function openaiRoutes(app: FastifyInstance, args: GatewayArgs): void {
  const { tenants, models, host, randomId, generate, services } = args;

  void app.register(async (scope) => {
    scope.setErrorHandler(async (error, request, reply) => {
      const refused = serverRefusal(error);
      const known = refused && new GridError(refused.status === 413 ? 'TOO_LARGE' : 'BAD_REQUEST', refused.message);
      const answer = openAiError(known ?? error, request.id);
      if (answer.status === 500) services.log.error({ error, requestId: request.id }, 'openai request failed');
      await reply.code(answer.status).send(answer.body);
    });

    scope.get('/v1/models', async (request) => {
      await authenticate(tenants, bearerOf(request));
      const list = await models.names(undefined, ASK);
      return modelList(list.map(({ model, createdAt }) => modelObject(model.name, Math.floor(createdAt / 1_000))));
    });

    scope.get<{ Params: { model: string } }>('/v1/models/:model', async (request, reply) => {
      await authenticate(tenants, bearerOf(request));
      const { model } = request.params;
      const found = await models.find(model, ASK);
      if (found === null) return sendError(reply, modelNotFound(model));
      return modelObject(model, Math.floor(found.createdAt / 1_000));
    });

    scope.post('/v1/chat/completions', async (request, reply) => {
      const by = await authenticate(tenants, bearerOf(request));
      const chat = parseChatRequest(request.body, () => Math.floor(host.random() * 0x1_0000_0000));
      const found = await models.find(chat.model, ASK);
      if (found === null) return sendError(reply, modelNotFound(chat.model));
      const { pool, model } = found;
      const generation = randomId();
      const head: AnswerHead = { id: `chatcmpl-${generation}`, created: Math.floor(host.clock.wall() / 1_000), model: chat.model };
      const answer = chat.stream ? streamed(request, reply, chat, head) : whole(reply, head);
      const ref = generate({
        generation,
        model: chat.model,
        pool,
        work: { request: { messages: [...chat.messages], sampling: chat.sampling } },
        usage: { tenant: by.tenant, apiKey: by.keyId },
        sink: { ...answer.sink, refused: (why) => answer.refused(generationRefused(why, model.contextSize)) },
      });
      // A client that leaves takes its generation with it: nobody computes for a closed socket.
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) ref.cancel();
      });
      await answer.over;
      return reply;
    });
  });

  interface Answer {
    readonly sink: Omit<GenerationSink, 'refused'>;
    refused(error: OpenAiErrorReply): void;
    readonly over: Promise<void>;
  }

  function whole(reply: FastifyReply, head: AnswerHead): Answer {
    const { promise, resolve } = Promise.withResolvers<void>();
    let content = '';
    function send(send: () => unknown): void {
      if (!reply.raw.destroyed) send();
      resolve();
    }
    return {
      over: promise,
      refused: (error) => send(() => sendError(reply, error)),
      sink: {
        started: (device) => void reply.header('x-corpgrid-device', device),
        text: (text) => void (content += text),
        ended: ({ finish, promptTokens, completionTokens }) => {
          if (finish === 'cancelled')
            return send(() => sendError(reply, openAiError(new GridError('UNREACHABLE', 'the request was cancelled'), head.id)));
          return send(() => reply.send(chatCompletion(head, content, finish, usageOf({ promptTokens, completionTokens }))));
        },
        failed: (error) => send(() => sendError(reply, openAiError(error, head.id))),
      },
    };
  }

  function streamed(request: FastifyRequest, reply: FastifyReply, chat: ChatRequest, head: AnswerHead): Answer {
    const { promise, resolve } = Promise.withResolvers<void>();
    const chunks = createChunks(head, chat.includeUsage);
    const { raw } = reply;
    let open = false;
    let keepAlive = host.scheduler.after(KEEP_ALIVE_MS, beat);

    function beat(): void {
      start(null);
      raw.write(SSE_KEEP_ALIVE);
      keepAlive = host.scheduler.after(KEEP_ALIVE_MS, beat);
    }

    /** Headers go out with the first word, so that a failure before it is still a proper HTTP error. */
    function start(device: string | null): void {
      if (open || raw.destroyed) return;
      open = true;
      reply.hijack();
      raw.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        'x-accel-buffering': 'no',
        'x-request-id': request.id,
        ...(device === null ? {} : { 'x-corpgrid-device': device }),
      });
      raw.write(sseEvent(chunks.role()));
    }

    function finish(deliver: () => void): void {
      keepAlive.cancel();
      if (!raw.destroyed) deliver();
      resolve();
    }

    function failWith(error: OpenAiErrorReply): void {
      finish(() => {
        if (!open) return void sendError(reply, error);
        // Too late for a status: clients know an `error` event, and a stream without [DONE] is never a success.
        raw.end(sseEvent(error.body));
      });
    }

    let where: string | null = null;
    return {
      over: promise,
      refused: failWith,
      sink: {
        started: (device) => void (where = device),
        text(text) {
          start(where);
          if (text !== '' && !raw.destroyed) raw.write(sseEvent(chunks.content(text)));
        },
        ended({ finish: reason, promptTokens, completionTokens }) {
          finish(() => {
            if (reason === 'cancelled') return void raw.end();
            start(where);
            raw.write(sseEvent(chunks.finish(reason)));
            if (chat.includeUsage) raw.write(sseEvent(chunks.usage(usageOf({ promptTokens, completionTokens }))));
            raw.end(SSE_DONE);
          });
        },
        failed: (error) => failWith(openAiError(error, head.id)),
      },
    };
  }

  async function sendError(reply: FastifyReply, { status, body }: OpenAiErrorReply): Promise<FastifyReply> {
    return reply.code(status).send(body);
  }
}
