import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Another process that runs an embedded database. */
export interface DatabaseProcess {
  /** The pid of its server. */
  readonly server: number;
  readonly url: string;
  readonly process: ChildProcess;
  /** SIGKILL: it has no chance to stop its server. */
  kill(): Promise<void>;
}

export async function spawnDatabase(dataFolder: string, kind: 'guarded' | 'bare'): Promise<DatabaseProcess> {
  const script = fileURLToPath(new URL('database-process.ts', import.meta.url));
  const child = spawn(process.execPath, [script, dataFolder, kind], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    ended.then(([code]) => Promise.reject(new Error(`the process ended with ${code} before its database was ready`))),
  ])) as [string];
  const { server, url } = JSON.parse(line) as { server: number; url: string };
  return {
    server,
    url,
    process: child,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
