import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createGridClient, type GridClient } from '#bin/client/grid-client.ts';

import { nodeFlags } from '../../scripts/node-flags.js';

const ROOT = path.dirname(path.dirname(import.meta.dirname));
const CORPGRID = path.join(ROOT, 'bin', 'corpgrid.ts');

/** How long a process may take to say that it is ready; generous, because CI machines are slow and busy. */
const READY_MS = 60_000;

/** One process of a real grid. */
export interface GridProcess {
  readonly pid: number;
  /** All that it wrote so far, stdout and stderr. */
  output(): string;
  /** SIGKILL, as a power cut would: nothing of it runs on. */
  kill(): Promise<void>;
  /** SIGTERM, and waits. Answers the exit code. */
  stop(): Promise<number | null>;
  freeze(): void;
  thaw(): void;
}

export interface AgentProcess extends GridProcess {
  readonly name: string;
  readonly device: string;
}

/** A real grid of real processes in a folder of its own. `end` stops all of them and removes the folder. */
export interface Grid {
  readonly folder: string;
  readonly url: string;
  readonly adminKey: string;
  readonly gridKey: string;
  readonly client: GridClient;
  readonly coordinator: GridProcess;
  readonly agents: readonly AgentProcess[];
  /** The same machine comes back when it was there before. */
  startAgent(name: string, options?: AgentStart): Promise<AgentProcess>;
  /** Starts the coordinator again on the same data and port, after it was killed or stopped. */
  restartCoordinator(): Promise<void>;
  /** Another coordinator on the same database and objects, at an address of its own. */
  joinCoordinator(): Promise<GridProcess & { readonly url: string }>;
  /** A command of the CLI, run to its end against this grid. */
  corpgrid(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }>;
  end(): Promise<void>;
}

export interface AgentStart {
  readonly slots?: number;
  readonly models?: readonly string[];
  /** Tokens of context for each generation, and generations at once. */
  readonly contextSize?: number;
  readonly sequences?: number;
  /** A made-up tree with the machine's /sys in it. */
  readonly systemRoot?: string;
  /** Another address than the grid's own, such as a proxy that cuts. */
  readonly url?: string;
}

interface Ready {
  url: string;
  adminKey: string | null;
  gridKey: string;
}

function start(
  args: string[],
  env: Record<string, string>,
  isReady: (stdout: string) => boolean,
): Promise<GridProcess & { stdout(): string }> {
  const child: ChildProcess = spawn(process.execPath, [...nodeFlags(args), CORPGRID, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stdout = '';
  let all = '';
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const handle = {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    output: () => all,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      // A frozen process hears no other signal.
      child.kill('SIGCONT');
      child.kill('SIGTERM');
      return ended;
    },
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
  };
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(`was not ready after ${READY_MS} ms`), READY_MS);
    function fail(why: string): void {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(new Error(`corpgrid ${args[0]} ${why}:\n${all}`));
    }
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      all += chunk.toString();
      if (isReady(stdout)) {
        clearTimeout(timer);
        resolve(handle);
      }
    });
    child.stderr?.on('data', (chunk: Buffer) => void (all += chunk.toString()));
    child.once('exit', (code) => fail(`ended with ${code}`));
    child.once('error', (error) => fail(error.message));
  });
}

export interface GridOptions {
  readonly ui?: boolean;
  readonly logLevel?: string;
  readonly withAgent?: boolean;
  /** Of the coordinator, on top of our own: servers that it shall use instead of what comes with it. */
  readonly environment?: Record<string, string>;
}

export async function startGrid(options: GridOptions = {}): Promise<Grid> {
  const folder = await mkdtemp(path.join(tmpdir(), 'corpgrid-'));
  const logLevel = options.logLevel ?? 'warn';
  const processes = new Set<GridProcess>();
  const agents: AgentProcess[] = [];
  let port = '0';
  let token: string | null = null;

  async function startCoordinator(at = port): Promise<{ ready: Ready; process: GridProcess }> {
    const flags = [...(options.ui === true ? [] : ['--no-ui']), ...(options.withAgent === true ? ['--with-agent'] : [])];
    const args = ['up', '--json', '--data', path.join(folder, 'data'), '--port', at, '--log', logLevel, ...flags];
    const started = await start(args, options.environment ?? {}, (out) => out.trimEnd().endsWith('}'));
    const ready = JSON.parse(started.stdout()) as Ready;
    if (port === '0') port = new URL(ready.url).port;
    processes.add(started);
    return { ready, process: started };
  }

  async function cleanUp(): Promise<void> {
    // Agents first: they leave politely while there is somebody to tell.
    for (const process of [...processes].toReversed()) await process.stop();
    await rm(folder, { recursive: true, force: true });
  }

  const first = await startCoordinator().catch(async (error: unknown) => {
    await rm(folder, { recursive: true, force: true });
    throw error;
  });
  let coordinator = first.process;
  const { url, gridKey } = first.ready;
  const adminKey = first.ready.adminKey ?? '';
  const client = createGridClient({ url, key: adminKey });

  return {
    folder,
    url,
    adminKey,
    gridKey,
    client,
    agents,
    get coordinator() {
      return coordinator;
    },
    async startAgent(name, { slots = 1, models = [], contextSize, sequences, systemRoot, url: address = url } = {}) {
      token ??= ((await client.post('/api/tokens', { name: 'test machines', uses: 100 })) as { token: string }).token;
      const args = [
        'agent',
        '--url',
        address,
        '--name',
        name,
        '--state',
        path.join(folder, name),
        '--slots',
        String(slots),
        '--log',
        logLevel,
      ];
      if (contextSize !== undefined) args.push('--context-size', String(contextSize));
      if (sequences !== undefined) args.push('--sequences', String(sequences));
      if (models.length > 0) args.push('--models', ...models);
      const env = { CORPGRID_TOKEN: token, ...(systemRoot === undefined ? {} : { CORPGRID_SYSTEM_ROOT: systemRoot }) };
      const started = await start(args, env, (out) => out.includes(' runs; '));
      const device = /\((dev-[0-9a-z]+)\)/.exec(started.stdout())?.[1] ?? '';
      const agent: AgentProcess = { ...started, name, device };
      processes.add(agent);
      agents.push(agent);
      return agent;
    },
    async restartCoordinator() {
      const again = await startCoordinator();
      coordinator = again.process;
    },
    async joinCoordinator() {
      const { ready, process: joined } = await startCoordinator('0');
      return { ...joined, url: ready.url };
    },
    async corpgrid(...args) {
      const env = { ...process.env, CORPGRID_URL: url, CORPGRID_KEY: adminKey };
      const child = spawn(process.execPath, [CORPGRID, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk: Buffer) => void (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => void (stderr += chunk.toString()));
      const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
      return { code, stdout, stderr };
    },
    end: cleanUp,
  };
}
