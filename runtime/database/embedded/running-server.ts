import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Host } from '#runtime/kernel/host.ts';
import { GridError } from '#runtime/errors.ts';
import { pause } from '../backoff.ts';
import { isConnectionLost } from '../connection-errors.ts';
import type { DatabaseLog } from '../database-log.ts';
import type { Cluster } from './cluster.ts';
import { connectToOwn } from './identity.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { isAlive, isPostgresIn, postgresIn, signal } from './processes.ts';
import { adoptServer, type ServerProcess } from './server-process.ts';

/** What an earlier process left behind in the cluster's folder, to be adopted or cleared away before a start. */
export interface Left {
  readonly process: ServerProcess;
  readonly port: number;
}

/** For a server that says of itself that it is ready, and does not answer. */
const SILENT_MS = 10_000;
/** For one that says that it is starting or stopping: both may have much to write. */
const SETTLE_MS = 60_000;
const POLL_MS = 50;
const QUIT_MS = 3_000;
const KILL_MS = 10_000;

/**
 * Looks for a server that runs in the cluster's folder although its starter is gone.
 *
 * - It runs and proves to be ours: it is answered, to be adopted.
 * - It is on its way up or down: waited for.
 * - It is gone, or its pid belongs to another program now: what is left of it is cleared away, and null answered.
 * @throws GridError DATABASE when a server works in the folder that is not ours to use, or does not answer
 */
export async function findRunning(cluster: Cluster, host: Host, log: DatabaseLog): Promise<Left | null> {
  const begin = host.clock.now();
  for (;;) {
    const lock = await readPostmasterPid(cluster.data);
    if (lock === null || !isAlive(lock.pid)) break;
    if ((await isPostgresIn(lock.pid, cluster.data)) === false) {
      log.warn({ pid: lock.pid }, 'The lock file of the database names a process that is not its server; it is removed.');
      await rm(path.join(cluster.data, 'postmaster.pid'), { force: true });
      break;
    }
    if (lock.port !== null && lock.status !== 'stopping' && (await answers(cluster, lock.port))) {
      return { process: adoptServer(lock.pid, cluster, host), port: lock.port };
    }
    if (host.clock.now() - begin > (lock.status === 'ready' ? SILENT_MS : SETTLE_MS)) throw silent(cluster, lock.pid);
    await pause(host, POLL_MS);
  }
  await endSurvivors(cluster.data, host, log);
  return null;
}

/** True when our own server answers there. @throws GridError when another one does */
async function answers(cluster: Cluster, port: number): Promise<boolean> {
  try {
    await (await connectToOwn(cluster, port)).close();
    return true;
  } catch (error) {
    if (isConnectionLost(error)) return false;
    throw error;
  }
}

/**
 * Ends the children of a server whose main process was killed. They hold its shared memory, and PostgreSQL does not start
 * while one of them lives; a busy one notices late that it is an orphan.
 */
export async function endSurvivors(dataFolder: string, host: Host, log: DatabaseLog): Promise<void> {
  const begin = host.clock.now();
  const told = new Set<string>();
  for (;;) {
    const pids = await postgresIn(dataFolder);
    if (pids.length === 0) return;
    const waited = host.clock.now() - begin;
    if (waited > KILL_MS) throw immortal(pids);
    const name = waited < QUIT_MS ? 'SIGQUIT' : 'SIGKILL';
    for (const pid of pids) {
      if (told.has(`${name} ${pid}`)) continue;
      told.add(`${name} ${pid}`);
      log.warn({ pid, signal: name }, 'A process of an earlier PostgreSQL is ended.');
      signal(pid, name);
    }
    await pause(host, POLL_MS);
  }
}

function immortal(pids: readonly number[]): GridError {
  return new GridError('DATABASE', `Processes of an earlier PostgreSQL do not end: ${pids.join(', ')}.`, {
    fix: 'End them, then start again.',
  });
}

function silent(cluster: Cluster, pid: number): GridError {
  return new GridError('DATABASE', `A PostgreSQL (process ${pid}) works in ${cluster.data}, but does not answer.`, {
    path: cluster.data,
    fix: `End it ("kill -INT ${pid}") and start again.`,
  });
}
