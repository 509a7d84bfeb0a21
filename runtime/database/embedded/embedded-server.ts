import { mkdir } from 'node:fs/promises';
import type { Host } from '#runtime/kernel/host.ts';
import { type Backoff, backoffMs } from '../backoff.ts';
import type { DatabaseLog } from '../database-log.ts';
import type { SqlClient } from '../sql-client.ts';
import { type Cluster, type ClusterOptions, prepareCluster } from './cluster.ts';
import { clusterFolder } from './cluster-folder.ts';
import { rememberCluster } from './cluster-memory.ts';
import { choosePort, isFree } from './free-port.ts';
import { connectToOwn, serverUrl } from './identity.ts';
import { claimFolder } from './owner.ts';
import { parentDeathGuard } from './run-as.ts';
import { endSurvivors, findRunning, type Left } from './running-server.ts';
import { launchServer, type ServerProcess } from './server-process.ts';

/**
 * The embedded PostgreSQL and its supervisor.
 *
 * States: `running` → (the process ends, not by us) → `down` → (backoff, then a start on the same port that works) →
 * `running`; a start that fails leads back to `down` with a longer wait, without end. `stop` leads from both to `stopped`.
 * Persisted: the cluster's files, its memory (token, port, place) and, while we run, the owner of the folder.
 *
 * The port never changes within one run, so an address once given out stays right.
 */
export interface EmbeddedServer {
  readonly url: string;
  /** A new connection, proven to lead to this cluster. Rejects while the server is down. */
  connect(): Promise<SqlClient>;
  unref(): void;
  stop(): Promise<void>;
}

export interface EmbeddedOptions extends ClusterOptions {
  readonly dataFolder: string;
  readonly log: DatabaseLog;
  readonly host: Host;
  /** False leaves the server running when this process is killed (it is always so outside Linux). */
  readonly dieWithParent?: boolean;
}

const BACKOFF: Backoff = { minMs: 100, maxMs: 5_000, jitter: 0.2 };
/** A server that lived this long was well: its end is a new failure, not one more of the same. */
const WELL_MS = 30_000;
const PORT_TRIES = 3;

/** @throws GridError DATABASE, saying what stands in the way and what to do */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const { dataFolder, log, host } = options;
  const folder = clusterFolder(dataFolder);
  await mkdir(folder.root, { recursive: true, mode: 0o700 });
  const release = await claimFolder(folder.owner, folder.root);
  try {
    const cluster = await prepareCluster(folder, options);
    const guard = options.dieWithParent === false ? [] : await parentDeathGuard();
    const left = await findRunning(cluster, host, log);
    if (left !== null) log.info({ pid: left.process.pid, port: left.port }, 'PostgreSQL runs already; it is adopted.');
    const first = left ?? (await firstStart(cluster, host, guard));
    await rememberPort(cluster, first.port);
    log.info({ pid: first.process.pid, port: first.port, way: cluster.runAs.way, folder: cluster.data }, 'PostgreSQL is ready.');
    return superviseServer({ cluster, first, guard, host, log, release });
  } catch (error) {
    await release();
    throw error;
  }
}

/** Another program may take the port between our look and the server's: then, and only then, another one is tried. */
async function firstStart(cluster: Cluster, host: Host, guard: readonly string[]): Promise<Left> {
  for (let tries = 1; ; tries += 1) {
    const port = await choosePort(host, cluster.memory.port);
    try {
      return { process: await launchServer({ cluster, port, host, guard }), port };
    } catch (error) {
      if (tries === PORT_TRIES || (await isFree(port))) throw error;
    }
  }
}

async function rememberPort({ folder, memory }: Cluster, port: number): Promise<void> {
  if (memory.port !== port) await rememberCluster(folder.memory, { ...memory, port });
}

interface Supervised {
  readonly cluster: Cluster;
  readonly first: Left;
  readonly guard: readonly string[];
  readonly host: Host;
  readonly log: DatabaseLog;
  readonly release: () => Promise<void>;
}

function superviseServer({ cluster, first, guard, host, log, release }: Supervised): EmbeddedServer {
  const { port } = first;
  let current: ServerProcess | undefined;
  let wait: { cancel(): void } | undefined;
  let starting: Promise<void> = Promise.resolve();
  let failures = 0;
  let stopping = false;
  let referenced = true;

  const run = (server: ServerProcess): void => {
    const began = host.clock.now();
    current = server;
    if (!referenced) server.unref();
    void server.ended.then((how) => {
      current = undefined;
      if (stopping) return;
      failures = host.clock.now() - began > WELL_MS ? 1 : failures + 1;
      log.error({ pid: server.pid, how }, 'PostgreSQL ended unexpectedly; it is started again.');
      startLater();
    });
  };
  const startLater = (): void => {
    wait = host.scheduler.after(backoffMs(BACKOFF, failures, host.random()), () => {
      starting = startAgain();
    });
  };
  const startAgain = async (): Promise<void> => {
    try {
      await endSurvivors(cluster.data, host, log);
      run(await launchServer({ cluster, port, host, guard }));
      log.info({ pid: current?.pid, port }, 'PostgreSQL is ready again.');
    } catch (error) {
      failures += 1;
      log.error(
        { error: error instanceof Error ? error.message : String(error) },
        'PostgreSQL could not be started again; another try follows.',
      );
      if (!stopping) startLater();
    }
  };
  const stop = async (): Promise<void> => {
    stopping = true;
    wait?.cancel();
    await starting;
    await current?.stop();
    // A killed server's children may still be on their way out.
    await endSurvivors(cluster.data, host, log);
    await release();
  };

  run(first.process);
  let stopped: Promise<void> | undefined;
  return {
    url: serverUrl(cluster, port),
    connect: () => connectToOwn(cluster, port),
    unref() {
      referenced = false;
      current?.unref();
    },
    stop: () => (stopped ??= stop()),
  };
}
