import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

import { z } from 'zod';

import { estimateModelMemory } from '#actors/contract/gguf/memory-estimate.ts';
import type { EngineEvents, StartEngine } from '#agent/executors/inference/engine-process.ts';
import { hostEnvironment } from '#agent/executors/inference/host-environment.ts';
import type { LoadOptions } from '#agent/executors/inference/host-protocol.ts';
import type { ModelFile } from '#agent/executors/inference/model-file.ts';
import type { Host } from '#runtime/kernel/host.ts';

import { createHttpClient, type HttpClient, ServedError } from './http-client.ts';
import { completeByLlama } from './llama-completion.ts';
import { type ServedBackend, serveEngine } from './served-engine.ts';

/** How often a server that is loading its model is asked whether it has. */
const POLL_MS = 100;
const GPU_LAYERS = '999';

export interface LlamaServerOptions {
  readonly host: Host;
  /** The program. */
  readonly program: string;
  readonly file: ModelFile;
  readonly devices?: readonly number[];
}

const Healthy = z.object({ status: z.literal('ok') });
const Props = z.object({ default_generation_settings: z.object({ n_ctx: z.number().int().positive() }) });

/** A llama-server of our own for one model: on loopback, on a free port, behind a key that only this process knows. */
export function llamaServer(options: LlamaServerOptions): StartEngine {
  return (events) => serveEngine(options.host, events, (onExit) => createBackend(options, events, onExit));
}

function createBackend(
  { host, program, file, devices }: LlamaServerOptions,
  events: EngineEvents,
  onExit: (reason: string) => void,
): ServedBackend {
  let child: ChildProcess | undefined;
  let http: HttpClient | undefined;
  let closed = false;
  let lastLine = '';

  function start(port: number, key: string, load: LoadOptions): void {
    const { modelPath, contextSize, sequences, threads, gpu } = load;
    const settings: Record<string, string> = {
      '--model': modelPath,
      '--host': '127.0.0.1',
      '--port': String(port),
      '--ctx-size': String(contextSize * sequences),
      '--parallel': String(sequences),
      '--threads': String(threads),
      '--n-gpu-layers': gpu === false ? '0' : GPU_LAYERS,
    };
    const args = [...Object.entries(settings).flat(), '--jinja', '--offline', '--no-ui', '--no-slots'];
    // The key would be visible to every program of the machine among the arguments.
    const env = { ...hostEnvironment(process.env, devices), LLAMA_API_KEY: key };
    const started = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    child = started;
    for (const stream of [started.stdout, started.stderr]) {
      createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
        if (line.trim() === '') return;
        lastLine = line.slice(0, 2000);
        events.onLine(lastLine);
      });
    }
    const exit = (how: string): void => onExit(lastLine === '' ? how : `${how}; it last wrote: ${lastLine.slice(0, 500)}`);
    started.on('exit', (code, signal) =>
      exit(signal === null ? `llama-server ended with code ${code}` : `llama-server ended by ${signal}`),
    );
    started.on('error', (error) => {
      if (started.pid === undefined) exit(`llama-server could not be started: ${error.message}`);
    });
  }

  async function ready(client: HttpClient, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const refused = await client.get('/health', Healthy, signal).then(
        () => null,
        (error: unknown) => error,
      );
      if (refused === null) return;
      // It answers 503 while it loads, and nothing before it listens.
      if (!(refused instanceof ServedError)) throw refused;
      await new Promise<void>((resolve) => void host.scheduler.after(POLL_MS, resolve));
    }
  }

  return {
    get pid() {
      return child?.pid;
    },
    async open(load, signal) {
      const { contextSize, sequences } = load;
      const key = randomBytes(24).toString('hex');
      const port = await freePort();
      if (closed) throw new Error('it was unloaded meanwhile');
      start(port, key, load);
      http = createHttpClient(`http://127.0.0.1:${port}`, key);
      await ready(http, signal);
      const props = await http.get('/props', Props, signal);
      return {
        memoryBytes: estimateModelMemory(file.header, { contextSize, sequences }),
        contextSize: props.default_generation_settings.n_ctx,
      };
    },
    complete(completion) {
      if (http === undefined) throw new ServedError('NOT_READY', 'llama-server does not run');
      return completeByLlama(http, completion);
    },
    close(how) {
      closed = true;
      if (child === undefined) host.scheduler.microtask(() => onExit('llama-server was not started'));
      else child.kill(how === 'kindly' ? 'SIGTERM' : 'SIGKILL');
    },
  };
}

/** A port that is free now. Should somebody take it before the server does, the server ends and the load fails. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise<void>((resolve) => void server.close(() => resolve()));
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return address.port;
}
