import type { Server as HttpServer } from 'node:http';

import { Server, type Socket } from 'socket.io';
import { z } from 'zod';

import { Submission } from '#actors/contract/job-spec.ts';
import type { Answer } from '#actors/contract/live.ts';
import { JobId, MAX_SHARDS } from '#actors/contract/primitives.ts';
import type { Audience } from '#actors/feed/feed.actor.ts';
import type { Principal } from '#actors/tenant/tenant.protocol.ts';
import { Refusal } from '#runtime/kernel/errors.ts';

import { authenticate, parse, problemOf, tenantScope } from './door.ts';
import type { GatewayArgs } from './gateway.ts';

const MAX_MESSAGE = 8 * 1024 * 1024;
const LIST_LIMIT = 500;

const Watch = z.strictObject({ job: JobId });
const Why = z.strictObject({ job: JobId, index: z.number().int().min(0).max(MAX_SHARDS).optional() });
const Shard = z.strictObject({ job: JobId, index: z.number().int().min(0).max(MAX_SHARDS) });

/** The people's door: submission and the live feed over socket.io; the events stand in contract/live.ts. */
export function openJobSocket(server: HttpServer, args: GatewayArgs): { audience: Audience; close(): Promise<void> } {
  const { tenants, jobs, deviceDesk, services } = args;
  const io = new Server(server, { serveClient: false, perMessageDeflate: false, maxHttpBufferSize: MAX_MESSAGE, destroyUpgrade: false });

  io.use((socket, next) => {
    const key: unknown = socket.handshake.auth['key'];
    authenticate(tenants, typeof key === 'string' ? key : undefined)
      .then((principal) => {
        socket.data = { principal };
        next();
      })
      .catch((error: unknown) => next(Object.assign(new Error(problemOf(error).message), { data: problemOf(error) })));
  });

  io.on('connection', (socket: Socket) => {
    const { principal } = socket.data as { principal: Principal };
    const scope = tenantScope(principal);
    void socket.join(scope === null ? 'tenants' : `tenant:${scope}`);
    void socket.join('devices');

    /** Every request ends with an answer, whatever came in and whatever happens. */
    function on(event: string, handle: (payload: unknown) => unknown): void {
      socket.on(event, (...sent: unknown[]) => {
        const answer = sent.at(-1);
        const payload = sent.length > 1 ? sent[0] : undefined;
        const reply = typeof answer === 'function' ? (value: Answer<unknown>) => void answer(value) : () => {};
        Promise.resolve()
          .then(() => handle(payload))
          .then((value) => reply({ ok: true, value }))
          .catch((error: unknown) => {
            if (!Refusal.is(error)) services.log.error({ error, event }, 'socket request failed');
            reply({ ok: false, error: problemOf(error) });
          });
      });
    }

    on('jobs', () => jobs.list(scope, LIST_LIMIT));
    on('devices', () => deviceDesk.list());
    on('submit', (payload) =>
      jobs.submit(parse(Submission, payload, 'BAD_SPEC'), { tenant: principal.tenant, name: principal.name, role: principal.role }),
    );
    on('watch', async (payload) => {
      const { job } = parse(Watch, payload);
      // Once to see whether this principal may, and again from inside the room so that no change falls in between.
      await jobs.snapshot(job, scope);
      await socket.join(`job:${job}`);
      return jobs.snapshot(job, scope);
    });
    on('unwatch', async (payload) => {
      await socket.leave(`job:${parse(Watch, payload).job}`);
      return true;
    });
    on('shard', (payload) => {
      const { job, index } = parse(Shard, payload);
      return jobs.shard(job, index, scope);
    });
    on('why', (payload) => {
      const { job, index } = parse(Why, payload);
      return jobs.why(job, index ?? null, scope);
    });
  });

  return {
    audience: {
      job: (delta) => void io.to(`job:${delta.summary.id}`).emit('job', delta),
      jobChanged: (summary) => void io.to(['tenants', `tenant:${summary.tenant}`]).emit('jobs:changed', summary),
      device: (device) => void io.to('devices').emit('device', device),
    },
    async close() {
      // Not io.close(): it would also close the HTTP server, which is Fastify's.
      io.disconnectSockets(true);
      io.engine.close();
      await Promise.resolve();
    },
  };
}
