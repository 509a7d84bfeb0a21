import type { IncomingMessage, ServerResponse } from 'node:http';
import { existsSync } from 'node:fs';
import path from 'node:path';

import fastifyStatic from '@fastify/static';
import { fastify, type FastifyInstance } from 'fastify';

import type { DeviceDesk, DevicesRef } from '#actors/device/devices.protocol.ts';
import type { Audience } from '#actors/feed/feed.actor.ts';
import type { AnswersRef } from '#actors/audit/answers.protocol.ts';
import type { GenerationArgs } from '#actors/generation/generation.actor.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { Revive } from '#actors/generation/revive.ts';
import type { RevivedArgs } from '#actors/generation/revived-generation.actor.ts';
import type { UsageRef } from '#actors/generation/usage.protocol.ts';
import type { HubRef } from '#actors/hub/hub.protocol.ts';
import type { JobDesk } from '#actors/job/jobs.protocol.ts';
import type { KeeperRef } from '#actors/keeper/keeper.protocol.ts';
import type { ModelsRef } from '#actors/model-pool/model-pool.protocol.ts';
import type { Services } from '#actors/services.ts';
import type { PlacementRef } from '#actors/placement/placement.protocol.ts';
import type { TenantRef } from '#actors/tenant/tenant.protocol.ts';
import { GridError } from '#runtime/errors.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { SocketLike } from '#runtime/link/socket.ts';

import { adminRoutes } from './api/admin-routes.ts';
import { actorRoutes, type ActorsToSee } from './api/actor-routes.ts';
import { deviceRoutes } from './api/device-routes.ts';
import { logRoutes } from './api/log-routes.ts';
import { enrolRoute } from './api/enrol-route.ts';
import { jobRoutes } from './api/job-routes.ts';
import { objectRoutes } from './api/object-routes.ts';
import { modelRoutes } from './api/model-routes.ts';
import { tenantRoutes } from './api/tenant-routes.ts';
import { receiptRoutes } from './api/receipt-routes.ts';
import { usageRoutes } from './api/usage-routes.ts';
import { openAgentSocket } from './agent-socket.ts';
import { sendProblem } from './door.ts';
import { openJobSocket } from './job-socket.ts';
import { openaiRoutes } from './openai/routes.ts';

/** A JSON request body at most: a submission of 20,000 input objects fits. */
const BODY_LIMIT = 8 * 1024 * 1024;

/** The pages load nothing from elsewhere, and no page of somebody else may frame them. Svelte sets styles inline. */
const UI_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; connect-src 'self' ws: wss:; object-src 'none'; frame-ancestors 'none'";

/** Everything behind the doors. */
export interface GatewayArgs {
  readonly services: Services;
  readonly host: Host;
  readonly jobs: JobDesk;
  readonly devices: DevicesRef;
  readonly deviceDesk: DeviceDesk;
  readonly tenants: TenantRef;
  readonly placement: Pick<PlacementRef, 'policiesChanged'>;
  readonly models: ModelsRef;
  readonly usageLog: UsageRef;
  readonly answers: AnswersRef;
  readonly generate: (args: Omit<GenerationArgs, 'services' | 'usageLog' | 'answers' | 'attemptId'>) => GenerationRef;
  readonly revive: (args: Omit<RevivedArgs, 'services' | 'usageLog' | 'answers' | 'attemptId' | 'localModels'>) => GenerationRef;
  readonly hub: HubRef;
  readonly keeper: KeeperRef;
  /** The actors of this process, to be looked at. */
  readonly actors: ActorsToSee;
  /** The disk object store answers its own signed URLs; undefined when S3 does. */
  readonly serveObject: ((request: IncomingMessage, response: ServerResponse) => Promise<void>) | undefined;
  /** Takes the sockets of other coordinators; undefined when this one is alone. */
  readonly acceptPeer?: (socket: SocketLike) => void;
  readonly uiFolder: string;
  readonly version: string;
  readonly randomId: () => string;
  readonly randomBytes: (length: number) => Uint8Array;
}

export interface Gateway {
  readonly port: number;
  readonly audience: Audience;
  readonly revive: Revive;
  listen(host: string, port: number): Promise<number>;
  /** Stops accepting, ends every connection, and resolves when none is left. */
  close(): Promise<void>;
}

/** One HTTP server for the API, the UI, agents (WebSocket), people (socket.io) and OpenAI clients. */
export async function createGateway(args: GatewayArgs): Promise<Gateway> {
  const app = fastify({
    bodyLimit: BODY_LIMIT,
    genReqId: args.randomId,
    requestIdHeader: false,
    forceCloseConnections: true,
    logger: false,
    return503OnClosing: true,
    routerOptions: { maxParamLength: 200 },
  });
  app.setErrorHandler(async (error, request, reply) => {
    logDefect(args, error, request.method, request.url, request.id);
    await sendProblem(reply, request, error);
  });
  app.addHook('onRequest', async (request, reply) => {
    void reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff');
  });

  app.get('/healthz', () => ({ status: 'ok', version: args.version }));
  serveObjects(app, args);
  enrolRoute(app, args);
  objectRoutes(app, args);
  jobRoutes(app, args);
  deviceRoutes(app, args);
  modelRoutes(app, args);
  logRoutes(app, args);
  adminRoutes(app, args);
  tenantRoutes(app, args);
  usageRoutes(app, args);
  receiptRoutes(app, args);
  actorRoutes(app, args);
  const revive = openaiRoutes(app, args);
  await serveUi(app, args.uiFolder);

  await app.ready();
  const agents = openAgentSocket(app.server, args);
  const people = openJobSocket(app.server, args);
  let port = 0;

  return {
    get port() {
      return port;
    },
    audience: people.audience,
    revive,
    async listen(host, wanted) {
      try {
        await app.listen({ host, port: wanted });
      } catch (error) {
        throw listenRefusal(error, host, wanted);
      }
      const address = app.server.address();
      port = typeof address === 'object' && address !== null ? address.port : wanted;
      return port;
    },
    async close() {
      await agents.close();
      await people.close();
      await app.close();
    },
  };
}

/** What people can mend of a door that does not open; the rest is a defect. */
function listenRefusal(error: unknown, host: string, port: number): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') {
    const fix = 'choose another with --port, or end the program that listens there';
    return new GridError('BAD_CONFIGURATION', `port ${port} on ${host} is taken by another program`, { path: '--port', fix });
  }
  if (code === 'EACCES') {
    const fix = 'choose one above 1023 with --port';
    return new GridError('BAD_CONFIGURATION', `this user may not listen on port ${port}`, { path: '--port', fix });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'EINVAL') {
    const fix = 'give 127.0.0.1 for this machine alone, 0.0.0.0 for the network, or an address that this machine has';
    return new GridError('BAD_CONFIGURATION', `${JSON.stringify(host)} is no address of this machine`, { path: '--listen', fix });
  }
  return error;
}

function logDefect({ services }: GatewayArgs, error: unknown, method: string, url: string, requestId: string): void {
  const status = typeof error === 'object' && error !== null && 'statusCode' in error ? Number(error.statusCode) : 500;
  // The path only: signed URLs carry their permission in the query.
  const where = url.split('?')[0];
  if (Refusal.is(error) || status < 500) services.log.debug({ error, method, url: where, requestId }, 'request refused');
  else services.log.error({ error, method, url: where, requestId }, 'request failed');
}

function serveObjects(app: FastifyInstance, { serveObject }: GatewayArgs): void {
  if (serveObject === undefined) return;
  // The body is a stream of up to gigabytes: Fastify must not read it, so these URLs get a context of their own.
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null));
    scope.route({
      method: ['GET', 'HEAD', 'PUT'],
      url: '/objects/*',
      async handler(request, reply) {
        reply.hijack();
        await serveObject(request.raw, reply.raw);
      },
    });
  });
}

async function serveUi(app: FastifyInstance, folder: string): Promise<void> {
  const built = existsSync(path.join(folder, 'index.html'));
  if (built) {
    await app.register(fastifyStatic, {
      root: folder,
      index: ['index.html'],
      cacheControl: false,
      setHeaders: (response, file) => {
        void response.header('content-security-policy', UI_POLICY);
        // Assets carry their hash in their name; the page that names them must be asked for each time.
        void response.header(
          'cache-control',
          file.includes(`${path.sep}assets${path.sep}`) ? 'public, max-age=31536000, immutable' : 'no-cache',
        );
      },
    });
  }
  app.setNotFoundHandler(async (request, reply) => {
    const wantsPage = request.method === 'GET' && (request.headers.accept ?? '').includes('text/html');
    // The UI routes in the browser: any page address is the same document.
    if (built && wantsPage && !request.url.startsWith('/api/') && !request.url.startsWith('/v1/')) return reply.sendFile('index.html');
    return sendProblem(reply, request, new GridError('NOT_FOUND', `nothing answers ${request.method} ${request.url.split('?')[0]}`));
  });
}
