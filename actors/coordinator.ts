import { randomBytes, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import path from 'node:path';

import { joinCluster } from '#actors/cluster/join-cluster.ts';
import { MODEL_LIMIT } from '#actors/contract/primitives.ts';
import { createDeviceDesk } from '#actors/device/device-desk.ts';
import type { Audience } from '#actors/feed/feed.actor.ts';
import { createGateway } from '#actors/gateway/gateway.ts';
import { spawnGrid } from '#actors/grid.ts';
import { answersActor } from '#actors/audit/answers.actor.ts';
import { auditCoin } from '#actors/quorum/audit-coin.ts';
import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import { generationActor, type GenerationArgs } from '#actors/generation/generation.actor.ts';
import type { Revive } from '#actors/generation/revive.ts';
import { revivedGenerationActor } from '#actors/generation/revived-generation.actor.ts';
import { hubActor } from '#actors/hub/hub.actor.ts';
import { createJobDesk } from '#actors/job/job-desk.ts';
import { keeperActor } from '#actors/keeper/keeper.actor.ts';
import { openObjects } from '#actors/open-objects.ts';
import { openPresence } from '#actors/open-presence.ts';
import type { Services } from '#actors/services.ts';
import { entities } from '#actors/store/entities.ts';
import { migrations } from '#actors/store/migrations.ts';
import { createPostgresStore } from '#actors/store/postgres/postgres-store.ts';
import type { Change, Outcome } from '#actors/store/store.ts';
import { trackStore } from '#actors/store/tracked-store.ts';
import type { TenantRef } from '#actors/tenant/tenant.protocol.ts';
import { connectionName, createPostgresClusterStore } from '#runtime/cluster/postgres/cluster-store.ts';
import { sliceHost } from '#runtime/cluster/slices.ts';
import { withDatabaseRetry } from '#runtime/database/connection-errors.ts';
import { createLedger } from '#runtime/database/ledger.ts';
import { openDatabase } from '#runtime/database/open-database.ts';
import { migrate, openOrm } from '#runtime/database/orm.ts';
import { realHost } from '#runtime/host.ts';
import { loadOrCreateKey } from '#runtime/identity/keys.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import type { S3Settings } from '#runtime/objects/s3-settings.ts';
import type { Log } from '#runtime/observe/log.ts';

export interface CoordinatorOptions {
  readonly dataFolder: string;
  /** Where other coordinators reach this one; undefined: where it listens. */
  readonly advertise?: string | undefined;
  /** Undefined: the embedded PostgreSQL in the data folder. */
  readonly databaseUrl: string | undefined;
  /** Undefined: presence in this process. Several coordinators need one Redis. */
  readonly redisUrl: string | undefined;
  /** Where `hf:` model files come from; undefined: huggingface.co. */
  readonly modelHubUrl: string | undefined;
  /** The share of answers that another device computes again, in [0, 1]; undefined: the usual. */
  readonly auditShare?: number | undefined;
  /** Null: objects as files in the data folder. Several coordinators need one S3. */
  readonly s3: S3Settings | null;
  readonly listen: string;
  readonly port: number;
  readonly uiFolder: string;
  readonly version: string;
  readonly log: Log;
  /** Told once when the actors failed for good. What is left answers nobody: end the process, so that whoever runs it starts it anew. */
  readonly onFailed: (error: unknown) => void;
}

export interface Coordinator {
  readonly port: number;
  /** Ed25519 public key of the grid, hex: what receipts and agents are checked against. */
  readonly gridKey: string;
  /** The first admin key, made when there was none; shown once. */
  readonly firstKey: string | null;
  readonly database: 'embedded' | 'given';
  /** A one-use enrolment token for a machine that is started together with the coordinator, and trusted like it. */
  enrolmentToken(name: string): Promise<string>;
  stop(): Promise<void>;
}

const ASK = { timeoutMs: 10_000 };
/** Tries of idempotent work while the database is away: a few minutes. */
const PATIENCE = 100;
const LEDGER_BATCH = 500;
const LEDGER_DELAY_MS = 10;

/** The composition root of the control plane: the only place that knows every room. */
export async function startCoordinator(options: CoordinatorOptions): Promise<Coordinator> {
  const { log, dataFolder } = options;
  const host = realHost();
  const coordinatorId = randomUUID();
  const slices = sliceHost(host);
  let address = '';
  const stops: { readonly part: string; readonly end: () => Promise<void> | void }[] = [];

  /** Ends what was started, last first; one failure does not keep the rest from ending. */
  async function stop(): Promise<void> {
    for (const { part, end } of stops.splice(0).reverse()) {
      try {
        await end();
        log.debug({ part }, 'stopped');
      } catch (error) {
        log.error({ part, error }, 'a part of the coordinator did not stop cleanly');
      }
    }
  }

  try {
    const key = loadOrCreateKey(path.join(dataFolder, 'keys'), 'grid');
    const database = await openDatabase({ dataFolder, url: options.databaseUrl, log });
    stops.push({ part: 'database', end: () => database.close() });
    const applicationName = connectionName(coordinatorId);
    const orm = await openOrm({ url: database.url, entities, migrations, log, applicationName });
    stops.push({ part: 'orm', end: () => orm.close() });
    await migrate(orm);
    const { store, idle } = trackStore(createPostgresStore(orm));
    stops.push({ part: 'store', end: idle });
    // Connections of its own: a lease must not wait behind the work of others.
    const leases = await openOrm({ url: database.url, entities: [], migrations: [], log, applicationName, poolSize: 2 });
    stops.push({ part: 'lease connections', end: () => leases.close() });
    const membership = trackStore(createPostgresClusterStore(leases.em.fork().getKysely<unknown>()));
    stops.push({ part: 'leases', end: membership.idle });
    const ledger = createLedger<Change, Outcome>({
      host,
      commit: (batch) => store.commit(batch),
      maxBatch: LEDGER_BATCH,
      maxDelayMs: LEDGER_DELAY_MS,
      attempts: PATIENCE,
    });
    stops.push({ part: 'ledger', end: () => ledger.close() });
    const {
      objects,
      serve: serveObject,
      close: closeObjects,
    } = await openObjects({ s3: options.s3, dataFolder, store, maxSize: MODEL_LIMIT, clock: host.clock, log });
    stops.push({ part: 'objects', end: closeObjects });
    const presence = await openPresence({ redisUrl: options.redisUrl, store, host, log, coordinator: coordinatorId });
    stops.push({ part: 'presence', end: () => presence.close() });
    const patiently = <T>(work: () => Promise<T>): Promise<T> => withDatabaseRetry(work, { host, attempts: PATIENCE });

    const system = createSystem({
      name: 'coordinator',
      host: slices.host,
      onCrash: (crash) => log.error({ ...crash }, 'actor crashed'),
      onGaveUp: options.onFailed,
      onSlow: (report) => log.warn({ ...report }, 'an actor held the thread'),
      onDeadLetter: (letter) => log.debug({ ...letter }, 'dead letter'),
    });
    stops.push({ part: 'actors', end: () => system.shutdown() });

    const joined = joinCluster({
      id: coordinatorId,
      address: () => address,
      host,
      slices,
      system,
      store: membership.store,
      log,
      jobs: () => grid.jobs,
    });
    const { cluster } = joined;
    const services: Services = { store, ledger, objects, presence, key, log, patiently, epochs: cluster.epochs };

    // The doors open last, so the audience is a hall that is empty at first.
    let hall: Audience = { job: () => {}, jobChanged: () => {}, device: () => {} };
    const audience: Audience = {
      job: (delta) => hall.job(delta),
      jobChanged: (summary) => hall.jobChanged(summary),
      device: (device) => hall.device(device),
    };

    let revive: Revive = () => null;
    const grid = spawnGrid(system, {
      services,
      audience,
      revive: (found) => revive(found),
      randomBytes: (length) => randomBytes(length),
      peers: { ...joined, owned: cluster.owned, publish: (name, ref, protocol) => cluster.actors.publish(name, ref, protocol) },
    });
    const { tenants, usageLog, jobs, devices, placement, allJobs, allDevices, allModels } = grid;
    const hub = system.spawn({
      id: 'hub',
      actor: hubActor,
      restart: 'permanent',
      args: {
        services,
        host,
        folder: path.join(dataFolder, 'downloads'),
        hubUrl: options.modelHubUrl,
        randomId: randomUUID,
        models: () => allModels,
      },
    });
    const keeper = system.spawn({ id: 'keeper', actor: keeperActor, restart: 'permanent', args: { services, holder: coordinatorId } });
    const spawnGeneration = (args: Omit<GenerationArgs, 'services' | 'usageLog' | 'attemptId'>): GenerationRef =>
      system.spawn({
        id: `generation-${args.generation}`,
        actor: generationActor,
        restart: 'temporary',
        args: { ...args, services, usageLog, attemptId: randomUUID },
      });
    const answers = system.spawn({
      id: 'answers',
      actor: answersActor,
      restart: 'permanent',
      args: {
        services,
        auditShare: options.auditShare,
        coin: auditCoin,
        randomId: randomUUID,
        // What an auditor computes is signed by nobody.
        generate: (args) => spawnGeneration({ ...args, answers: null }),
      },
    });
    presence.onDue((due) => void devices.due(due));

    const gateway = await createGateway({
      services,
      host,
      placement,
      jobs: createJobDesk({ services, jobs: allJobs, placement, clock: host.clock }),
      devices,
      deviceDesk: createDeviceDesk({ store, devices: allDevices, placement, clock: host.clock }),
      tenants,
      models: allModels,
      usageLog,
      hub,
      keeper,
      actors: system,
      answers,
      generate: (args) => spawnGeneration({ ...args, answers }),
      revive: (args) =>
        system.spawn({
          actor: revivedGenerationActor,
          restart: 'temporary',
          args: { ...args, services, usageLog, answers, localModels: grid.models, attemptId: randomUUID },
        }),
      serveObject,
      acceptPeer: (socket) => cluster.accept(socket),
      uiFolder: options.uiFolder,
      version: options.version,
      randomId: randomUUID,
      randomBytes: (length) => randomBytes(length),
    });
    stops.push({ part: 'doors', end: () => gateway.close() });
    stops.push({ part: 'database watch', end: database.onBack(() => void jobs.reload()) });
    ({ audience: hall, revive } = gateway);

    const firstKey = await createFirstKey(tenants);
    await gateway.listen(options.listen, options.port);
    address = options.advertise ?? addressOf(options.listen, gateway.port);
    stops.push({ part: 'cluster', end: () => cluster.stop() });
    await cluster.start();

    return {
      port: gateway.port,
      gridKey: key.publicKey,
      firstKey,
      database: database.kind,
      async enrolmentToken(name) {
        const { token } = await tenants.createToken({ name, uses: 1, ttlSeconds: 300, trusted: true }, ASK);
        return token;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Who listens on every address is reached by the name of its machine. */
function addressOf(listen: string, port: number): string {
  const host = listen === '0.0.0.0' || listen === '::' ? hostname() : listen;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

async function createFirstKey(tenants: TenantRef): Promise<string | null> {
  const keys = await tenants.listKeys(undefined, ASK);
  if (keys.some((k) => k.role === 'admin' && k.revokedAt === null)) return null;
  const { key } = await tenants.createKey({ tenant: 'default', name: 'first admin', role: 'admin' }, ASK);
  return key;
}
