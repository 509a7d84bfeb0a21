import type { GenerationRequest } from '#actors/contract/generation.ts';
import { Credit } from '#agent/executors/inference/credit.ts';
import type { EngineEvents, EngineProcess } from '#agent/executors/inference/engine-process.ts';
import { type GenerationEnd, type LoadOptions, shortReason, type ToHost } from '#agent/executors/inference/host-protocol.ts';
import { createTokenBatcher, type TokenBatcher } from '#agent/executors/inference/token-batcher.ts';
import type { Host } from '#runtime/kernel/host.ts';

import { ServedError } from './http-client.ts';

/** What a generation of a served engine works with. */
export interface Completion {
  readonly request: GenerationRequest;
  readonly options: LoadOptions;
  readonly batcher: TokenBatcher;
  /** Waits until the consumer wants a token more. */
  readonly take: () => Promise<void>;
  /** The server gave a sign of life. */
  readonly heard: () => void;
  readonly signal: AbortSignal;
}

export type CompletionEnd = Pick<GenerationEnd, 'promptTokens' | 'completionTokens'> & {
  readonly outcome: 'stop' | 'length' | 'cancelled';
  readonly cachedTokens?: number;
};

/** A server that computes answers over HTTP, started by us or not. */
export interface ServedBackend {
  readonly pid: number | undefined;
  /** Resolves when it answers and has the model. @throws Error */
  open(options: LoadOptions, signal: AbortSignal): Promise<{ memoryBytes: number; contextSize: number }>;
  /** @throws ServedError, or any other error when the engine failed */
  complete(completion: Completion): Promise<CompletionEnd>;
  /** Ends it, at once or after what it still has to put away. `onExit` follows, once. */
  close(how: 'kindly' | 'at once'): void;
}

/** The engine port over a server: its generations, cancelled and throttled as those of our own engine. */
export function serveEngine(
  host: Host,
  events: EngineEvents,
  makeBackend: (onExit: (reason: string) => void) => ServedBackend,
): EngineProcess {
  const generations = new Map<string, { readonly cancel: AbortController; readonly credit: Credit }>();
  const life = new AbortController();
  let over = false;
  let loaded: LoadOptions | undefined;
  const backend = makeBackend((reason) => {
    if (over) return;
    over = true;
    life.abort();
    for (const { cancel, credit } of generations.values()) {
      cancel.abort();
      credit.close();
    }
    events.onExit(reason);
  });

  /** Nothing is heard of an engine that is gone. */
  const tell: EngineEvents['onMessage'] = (message) => {
    if (!over) events.onMessage(message);
  };

  async function load(options: LoadOptions): Promise<void> {
    try {
      const { memoryBytes, contextSize } = await backend.open(options, life.signal);
      loaded = { ...options, contextSize: Math.min(options.contextSize, contextSize) };
      tell({ type: 'loaded', memoryBytes, contextSize: loaded.contextSize });
    } catch (error) {
      tell({ type: 'loadFailed', reason: shortReason(error) });
    }
  }

  async function generate({ id, request, credit: initial }: Extract<ToHost, { type: 'generate' }>): Promise<void> {
    const cancel = new AbortController();
    const credit = new Credit(initial);
    generations.set(id, { cancel, credit });
    tell({ type: 'accepted', id });
    tick();
    let completionTokens = request.resume?.tokens.length ?? 0;
    const batcher = createTokenBatcher(
      host,
      (batch) => {
        completionTokens = batch.from + batch.ids.length;
        tell({ type: 'tokens', id, ...batch });
      },
      completionTokens,
    );
    const take = async (): Promise<void> => {
      if (credit.exhausted) {
        batcher.flush(); // the consumer may be waiting for them before it grants more
        tick(-1);
      }
      await credit.take();
    };
    let end: GenerationEnd;
    try {
      if (loaded === undefined) throw new ServedError('NOT_READY', 'the model is not loaded');
      const result = await backend.complete({ request, options: loaded, batcher, take, heard: tick, signal: cancel.signal });
      batcher.flush();
      end = result;
    } catch (error) {
      batcher.flush();
      const code = error instanceof ServedError ? error.code : 'ENGINE';
      end = cancel.signal.aborted
        ? { outcome: 'cancelled', promptTokens: 0, completionTokens }
        : { outcome: 'failed', code, reason: shortReason(error), promptTokens: 0, completionTokens };
    }
    generations.delete(id);
    tell({ type: 'ended', id, end });
    tick();
  }

  /** Who waits for the consumer waits for nothing of the server. */
  function tick(besides = 0): void {
    tell({ type: 'tick', evaluating: Math.max(0, generations.size + besides) });
  }

  function cancelOne(id: string): void {
    const generation = generations.get(id);
    generation?.cancel.abort();
    generation?.credit.close();
  }

  return {
    get pid() {
      return backend.pid;
    },
    send(message) {
      switch (message.type) {
        case 'load':
          return void load(message.options);
        case 'generate':
          return void generate(message);
        case 'compute': {
          const reason = 'this engine computes no tasks';
          const end = { outcome: 'failed', code: 'UNSUPPORTED', reason, promptTokens: 0, completionTokens: 0 } as const;
          return tell({ type: 'ended', id: message.id, end });
        }
        case 'cancel':
          return cancelOne(message.id);
        case 'credit':
          return generations.get(message.id)?.credit.grant(message.tokens);
        case 'unload':
          return backend.close('kindly');
      }
    },
    kill: () => backend.close('at once'),
  };
}
