import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { choosePort } from '#runtime/database/embedded/free-port.ts';
import { realHost } from '#runtime/host.ts';

/** A real Redis. Unless it is durable it keeps nothing on disk. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** SIGKILL: its memory is gone. */
  kill(): Promise<void>;
  /** Starts it again, empty, on the same port. */
  restart(): Promise<void>;
  /** Connections stay open and nothing answers. */
  freeze(): void;
  thaw(): void;
  end(): Promise<void>;
}

/** `durable`: every write is in a synced log before it is answered. */
export async function startRedis({ password, durable = false }: { password?: string; durable?: boolean } = {}): Promise<RedisServer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'corpgrid-redis-'));
  const port = await choosePort(realHost(), null);
  const secret = password === undefined ? [] : ['--requirepass', password];
  const log = durable ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no'];
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', ...log, '--dir', folder, ...secret];
  let child: ChildProcess | null = null;
  let ended: Promise<unknown> = Promise.resolve();

  async function start(): Promise<void> {
    const started = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    child = started;
    ended = once(started, 'exit');
    const lines = createInterface(started.stdout);
    const ready = new Promise<void>((resolve) => {
      lines.on('line', (line) => void (line.includes('Ready to accept connections') && resolve()));
    });
    await Promise.race([ready, ended.then(() => Promise.reject(new Error('redis-server ended before it was ready')))]);
  }

  async function kill(): Promise<void> {
    child?.kill('SIGKILL');
    await ended;
    child = null;
  }

  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    kill,
    restart: start,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async end() {
      await kill();
      await rm(folder, { recursive: true });
    },
  };
}
