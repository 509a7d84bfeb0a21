import type { MessagePort } from 'node:worker_threads';

import { expose } from 'comlink';

import { realHost } from '#runtime/host.ts';

import { type Engine, type LoadedModel, startEngine } from './engine.ts';
import { Evaluating } from './evaluating.ts';
import { Generations } from './generations.ts';
import { type FromHost, type LoadOptions, shortReason, type ToHost } from './host-protocol.ts';

/**
 * The one thread in which the engine lives. Piscina calls `serve` once; that call lasts until `control` closes.
 * `control` carries comlink calls, `stream` the commands and tokens of generations as plain messages.
 */
export interface WorkerPorts {
  readonly control: MessagePort;
  readonly stream: MessagePort;
}

/** What the host's main thread may ask of the worker, through comlink. */
export interface WorkerControl {
  /** Bytes that loading will take. Starts the engine. */
  estimate(options: LoadOptions): Promise<number>;
  load(options: LoadOptions): Promise<void>;
  stats(): WorkerStats;
  /** Ends every generation and gives all memory back; the thread may be ended after it. */
  unload(): Promise<void>;
}

export interface WorkerStats {
  readonly memoryBytes: number;
  readonly contextSize: number;
  readonly running: number;
  readonly waiting: number;
}

/** Commands that travel on the stream. */
export type StreamCommand = Extract<ToHost, { type: 'generate' | 'compute' | 'cancel' | 'credit' }>;

export async function serve({ control, stream }: WorkerPorts): Promise<void> {
  const host = realHost();
  const send = (message: FromHost): void => stream.postMessage(message);
  const evaluating = new Evaluating(host, (count) => send({ type: 'tick', evaluating: count }));
  const log = (level: 'info' | 'warn', text: string): void => send({ type: 'log', level, text: text.slice(0, 2000) });
  let engine: Engine | undefined;
  let loaded: LoadedModel | undefined;
  let generations: Generations | undefined;

  // Dying here with a batch in flight would abort the process before anybody heard why.
  process.on('uncaughtException', (error) => send({ type: 'defect', reason: shortReason(error) }));
  process.on('unhandledRejection', (error) => send({ type: 'defect', reason: shortReason(error) }));

  const start = async (gpu: LoadOptions['gpu']): Promise<Engine> => (engine ??= await startEngine(gpu, { host, evaluating, log }));

  const api: WorkerControl = {
    estimate: async (options) => (await start(options.gpu)).estimate(options),
    async load(options) {
      loaded = await (await start(options.gpu)).load(options);
      generations = new Generations({ host, loaded, evaluating, send });
    },
    stats: () => ({
      memoryBytes: loaded?.memoryBytes ?? 0,
      contextSize: loaded?.options.contextSize ?? 0,
      running: generations?.running ?? 0,
      waiting: generations?.waiting ?? 0,
    }),
    async unload() {
      await generations?.drain();
      await loaded?.dispose();
      await engine?.dispose();
      generations = undefined;
      loaded = undefined;
      engine = undefined;
    },
  };

  stream.on('message', (command: StreamCommand) => {
    if (command.type === 'cancel') generations?.cancel(command.id);
    else if (command.type === 'credit') generations?.credit(command.id, command.tokens);
    else if (generations !== undefined) generations.enqueue(command);
    else {
      const end = { outcome: 'failed', code: 'NOT_READY', reason: 'no model is loaded', promptTokens: 0, completionTokens: 0 } as const;
      send({ type: 'ended', id: command.id, end });
    }
  });

  expose(api, control);
  await new Promise<void>((resolve) => {
    control.once('close', resolve);
  });
  stream.close();
}
