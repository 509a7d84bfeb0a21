import type { FastifyInstance } from 'fastify';
import { z } from 'zod';

import { GridError } from '#runtime/errors.ts';
import type { System } from '#runtime/kernel/system.ts';

import { authenticate, bearerOf, parse, requireAdmin } from '../door.ts';
import type { GatewayArgs } from '../gateway.ts';

export type ActorsToSee = Pick<System, 'inspect' | 'find' | 'examine' | 'accounting' | 'deadLetters'>;

const ASK = { timeoutMs: 2_000 };

const Which = z.object({ path: z.string().min(1).max(1_000) });

/** The actors of the coordinator that answers, for administrators: what they show belongs to all tenants. */
export function actorRoutes(app: FastifyInstance, { tenants, actors }: GatewayArgs): void {
  app.get('/api/actors', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    return { tree: actors.inspect(), accounting: actors.accounting(), deadLetters: actors.deadLetters() };
  });

  app.get('/api/actors/examine', async (request) => {
    requireAdmin(await authenticate(tenants, bearerOf(request)));
    const { path } = parse(Which, request.query);
    const found = actors.find(path);
    if (found === undefined) {
      throw new GridError('NOT_FOUND', `there is no actor ${path} on this coordinator`, {
        path: 'path',
        fix: '`corpgrid actors` lists those that there are',
      });
    }
    return actors.examine(found, ASK);
  });
}
