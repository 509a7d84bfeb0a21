import { type ChildProcess, spawn } from 'node:child_process';
import type { Host } from '#runtime/kernel/host.ts';
import { GridError } from '#runtime/errors.ts';
import { pause, settlesWithin } from '../backoff.ts';
import type { Cluster } from './cluster.ts';
import { readPostmasterPid } from './postmaster-pid.ts';
import { isAlive, signal } from './processes.ts';
import { runProgram, serverEnvironment } from './run-program.ts';
import { openServerLog } from './server-log.ts';
import { serverSettings } from './settings.ts';

/** A server that has been ready, from then until its process ends. */
export interface ServerProcess {
  readonly pid: number;
  /** Settles with how it ended, when it ends. */
  readonly ended: Promise<string>;
  /** Ends it: open transactions are rolled back, connections cut, everything else written. */
  stop(): Promise<void>;
  /** Lets this process end although the server runs; nobody then notices the server's end any more. */
  unref(): void;
}

export interface LaunchOptions {
  readonly cluster: Cluster;
  readonly port: number;
  readonly host: Host;
  /** Words that tie the server to this process, see `parentDeathGuard`. */
  readonly guard: readonly string[];
}

const POLL_MS = 20;
/** Replaying the log after a crash takes its time. */
const READY_MS = 120_000;
const FAST_MS = 30_000;
const IMMEDIATE_MS = 5_000;
const ADOPTED_POLL_MS = 250;

/**
 * Starts the server and waits until it takes connections.
 * @throws GridError DATABASE with the last lines of its log when it ends first
 */
export async function launchServer({ cluster, port, host, guard }: LaunchOptions): Promise<ServerProcess> {
  const { binaries, data, folder, memory, runAs } = cluster;
  const log = await openServerLog(folder.log);
  try {
    const [program = '', ...args] = [...runAs.prefix, ...guard, binaries.postgres, '-D', data, ...serverSettings(port, memory.token)];
    const child = spawn(program, args, { ...runAs.ids, env: serverEnvironment(), stdio: ['ignore', log.fd, log.fd], windowsHide: true });
    const running = childProcess(child, cluster, host);
    let over: string | undefined;
    void running.ended.then((how) => (over = how));
    const deadline = host.clock.now() + READY_MS;
    for (;;) {
      const found = await readPostmasterPid(data);
      if (found?.pid === running.pid && found.status === 'ready') return running;
      if (over !== undefined) throw failed(cluster, over, await log.tail());
      if (host.clock.now() > deadline) {
        await running.stop();
        throw failed(cluster, `it was not ready after ${READY_MS / 1_000} s`, await log.tail());
      }
      await pause(host, POLL_MS);
    }
  } finally {
    await log.close();
  }
}

function failed(cluster: Cluster, how: string, tail: string): GridError {
  return new GridError('DATABASE', `PostgreSQL did not start: ${how}.${tail === '' ? '' : `\n${tail}`}`, {
    path: cluster.folder.log,
    fix: `The log ${cluster.folder.log} tells more. Or set DATABASE_URL to a PostgreSQL 15 or newer.`,
  });
}

function childProcess(child: ChildProcess, cluster: Cluster, host: Host): ServerProcess {
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, name) => resolve(name === null ? `it ended with status ${code}` : `${name} ended it`));
  });
  const pid = child.pid ?? 0;
  return { pid, ended, stop: () => stopServer({ pid, ended, cluster, host }), unref: () => child.unref() };
}

/** A server that an earlier process started, which is gone now. Nobody tells us when it ends, so we look. */
export function adoptServer(pid: number, cluster: Cluster, host: Host): ServerProcess {
  const end = Promise.withResolvers<string>();
  let looking = true;
  const look = (): void => {
    if (!isAlive(pid)) end.resolve('it ended');
    else if (looking) host.scheduler.after(ADOPTED_POLL_MS, look);
  };
  look();
  return {
    pid,
    ended: end.promise,
    stop() {
      looking = true;
      look();
      return stopServer({ pid, ended: end.promise, cluster, host });
    },
    unref: () => void (looking = false),
  };
}

interface Stopping {
  readonly pid: number;
  readonly ended: Promise<string>;
  readonly cluster: Cluster;
  readonly host: Host;
}

/** PostgreSQL's own ladder: fast, then immediate (the next start recovers), then the system's. */
async function stopServer({ pid, ended, cluster, host }: Stopping): Promise<void> {
  if (process.platform === 'win32') {
    // Windows has no signals: this program knows the server's own way to be told.
    await runProgram([cluster.binaries.pgCtl, 'stop', '-D', cluster.data, '-m', 'fast', '-w', '-t', String(FAST_MS / 1_000)]);
  } else if (pid !== 0) {
    signal(pid, 'SIGINT');
    if (await settlesWithin(host, FAST_MS, ended)) return;
    signal(pid, 'SIGQUIT');
  }
  if (await settlesWithin(host, IMMEDIATE_MS, ended)) return;
  signal(pid, 'SIGKILL');
  await ended;
}
