/**
 * One node of the cluster that `failover` measures: counters over PostgreSQL, told what to do by the parent process.
 * Times are milliseconds since 1970 with fractions, so that processes of one machine can be compared.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { WebSocket, WebSocketServer } from 'ws';

import { createCluster } from '#runtime/cluster/cluster.ts';
import { hostEntities } from '#runtime/cluster/entities.ts';
import type { EntityHost } from '#runtime/cluster/entity-host.ts';
import { connectionName, createPostgresClusterStore } from '#runtime/cluster/postgres/cluster-store.ts';
import { createPostgresEntityStore } from '#runtime/cluster/postgres/entity-store.ts';
import { sliceHost } from '#runtime/cluster/slices.ts';
import { openOrm } from '#runtime/database/orm.ts';
import { realHost } from '#runtime/host.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { createSystem } from '#runtime/kernel/system.ts';
import { wsSocket } from '#runtime/link/ws-socket.ts';
import { createLog } from '#runtime/observe/log.ts';
import { BENCH_PARTITIONS } from '#tests/bench/bench-partitions.ts';
import { counterActor, type Counted, CounterProtocol, ReportProtocol } from '#tests/support/counter-entity.ts';

export type Order = { readonly order: 'load'; readonly ids: readonly string[] } | { readonly order: 'owned' } | { readonly order: 'times' };

export type Report =
  | { readonly report: 'ready' }
  | { readonly report: 'owned'; readonly partitions: readonly number[] }
  /** For each entity: when it answered, and at which epoch; and the highest number that was counted for this sender. */
  | { readonly report: 'times'; readonly times: Record<string, { at: number; epoch: number }[]>; readonly counted: Record<string, number> };

/** Between two messages to one entity. */
const PAUSE_MS = 100;
/** Every so many messages one is durable. */
const DURABLE_EVERY = 10;
const ASK_MS = 400;

const [, , id = '', databaseUrl = ''] = process.argv;
const log = createLog(id, process.env['BENCH_LOG'] === undefined ? 'error' : 'info');
const host = realHost();
const slices = sliceHost(host);
const system = createSystem({ name: id, host: slices.host });
const applicationName = connectionName(id);
const [orm, leases] = await Promise.all([
  openOrm({ url: databaseUrl, entities: [], migrations: [], log, applicationName }),
  openOrm({ url: databaseUrl, entities: [], migrations: [], log, applicationName, poolSize: 2 }),
]);
const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

const hosts = new Map<string, EntityHost>();
const cluster = createCluster({
  host,
  slices,
  system,
  store: createPostgresClusterStore(leases.em.fork().getKysely<unknown>()),
  node: { id, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, host: 'bench', weight: 1 },
  key: generateKeyPair(),
  partitions: BENCH_PARTITIONS,
  hosts,
  protocols: [CounterProtocol, ReportProtocol],
  log,
  dial(address, onRefused) {
    const ws = new WebSocket(address, { perMessageDeflate: false, handshakeTimeout: 2_000 });
    ws.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') onRefused();
    });
    return wsSocket(ws);
  },
});
hosts.set(
  'counter',
  hostEntities({
    system,
    kind: 'counter',
    actor: counterActor(),
    store: createPostgresEntityStore(orm.em.fork().getKysely<unknown>()),
    timersOf: () => ({ set: async () => null, cancel: async () => false }),
    partitions: BENCH_PARTITIONS,
    idleMs: 60_000,
  }),
);
sockets.on('connection', (ws) => cluster.accept(wsSocket(ws)));

const now = (): number => performance.timeOrigin + performance.now();
let times: Record<string, { at: number; epoch: number }[]> = {};
const counted: Record<string, number> = {};
const stopping = new AbortController();

async function load(entity: string): Promise<void> {
  for (let n = 1; !stopping.signal.aborted; n++) {
    const durable = n % DURABLE_EVERY === 0;
    const asked = durable
      ? cluster.ask('counter', entity, 'add', { sender: id, n }, ASK_MS)
      : cluster.ask('counter', entity, 'peek', undefined, ASK_MS);
    const answer = (await asked.catch(() => null)) as Counted | null;
    if (answer !== null) {
      (times[entity] ??= []).push({ at: now(), epoch: answer.epoch });
      if (durable) counted[entity] = n;
      await sleep(PAUSE_MS);
    }
  }
}

function tell(report: Report): void {
  process.send?.(report);
}

process.on('message', (order: Order) => {
  if (order.order === 'load') for (const entity of order.ids) void load(entity);
  if (order.order === 'owned') tell({ report: 'owned', partitions: [...cluster.owned.keys()] });
  if (order.order === 'times') {
    tell({ report: 'times', times, counted });
    times = {};
  }
});
process.on('disconnect', () => process.exit(0));
process.once('SIGTERM', () => {
  stopping.abort();
  void cluster.stop().then(() => process.exit(0));
});

await cluster.start();
tell({ report: 'ready' });
