import { z } from 'zod';

import type { EngineEvents, StartEngine } from '#agent/executors/inference/engine-process.ts';
import type { Host } from '#runtime/kernel/host.ts';

import { createHttpClient } from './http-client.ts';
import { type ServedBackend, serveEngine } from './served-engine.ts';
import { completeByUpstream } from './upstream-chat.ts';

const ModelList = z.object({ data: z.array(z.object({ id: z.string().min(1).max(200) })).max(10_000) });

export interface UpstreamOptions {
  readonly host: Host;
  /** Up to and with `/v1`. */
  readonly url: string;
  readonly key: string | undefined;
  /** As the upstream calls it. */
  readonly model: string;
}

/** The models that an upstream has, by their own names. @throws ServedError */
export async function upstreamModels(url: string, key: string | undefined, signal: AbortSignal): Promise<string[]> {
  const { data } = await createHttpClient(url, key).get('/models', ModelList, signal);
  return data.map(({ id }) => id);
}

/** A model that some OpenAI-compatible server has: vLLM, Ollama, another grid. Nothing of it takes memory of this machine. */
export function upstream(options: UpstreamOptions): StartEngine {
  return (events: EngineEvents) => serveEngine(options.host, events, (onExit) => createBackend(options, onExit));
}

function createBackend({ host, url, key, model }: UpstreamOptions, onExit: (reason: string) => void): ServedBackend {
  const http = createHttpClient(url, key);
  return {
    pid: undefined,
    async open({ contextSize }, signal) {
      const { data } = await http.get('/models', ModelList, signal);
      if (!data.some(({ id }) => id === model)) throw new Error(`the upstream at ${url} does not have the model ${model} any more`);
      return { memoryBytes: 0, contextSize };
    },
    complete: (completion) => completeByUpstream(http, model, completion),
    close: () => host.scheduler.microtask(() => onExit('the upstream is not used any more')),
  };
}
