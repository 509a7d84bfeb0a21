import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { GridError } from '#runtime/errors.ts';

import { authenticate, bearerOf, parse } from '../door.ts';
import type { OpenAiContext } from './endpoint.ts';
import type { KeptStreams } from './kept-streams.ts';

const Params = z.object({ id: z.string().min(1).max(100) });
const Query = z.strictObject({ from: z.coerce.number().int().min(0).optional() });
const LAST_EVENT = /^(?<id>[\w-]{1,100}):(?<number>\d{1,9})$/;

/** `GET /v1/streams/:id`: the rest of a stream that was asked to be kept, behind `Last-Event-ID` or `?from=`, the number of the last event seen. */
export function streamRoutes(scope: FastifyInstance, { args, streams }: OpenAiContext & { readonly streams: KeptStreams }): void {
  scope.get('/v1/streams/:id', async (request, reply) => {
    const by = await authenticate(args.tenants, bearerOf(request));
    const { id } = parse(Params, request.params);
    const { from } = parse(Query, request.query);
    const stream = await streams.awaited(id, by.keyId);
    if (stream === null) {
      throw new GridError('NOT_FOUND', `There is no stream '${id}' any more.`, { path: 'id', fix: 'Ask again from the beginning.' });
    }
    const last = LAST_EVENT.exec(String(request.headers['last-event-id'] ?? ''))?.groups;
    const after = from ?? (last?.['id'] === id ? Number(last['number']) : 0);
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache', 'x-request-id': request.id });
    const stop = stream.listen(after, { event: (text) => void raw.write(text), ended: () => void raw.end() });
    raw.once('close', stop);
    return reply;
  });
}
