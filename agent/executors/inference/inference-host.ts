import type { GenerationFailure, GenerationRequest, ModelTask } from '#actors/contract/generation.ts';
import { GridError } from '#runtime/errors.ts';
import type { Cancellable } from '#runtime/kernel/host.ts';

import type { EngineEvents, EngineProcess } from './engine-process.ts';
import { forkHost } from './forked-host.ts';
import { hostEnvironment } from './host-environment.ts';
import { defaultThreads, type HostLimits, type InferenceHostOptions, LIMITS } from './host-options.ts';
import { type FromHost, shortReason, type ToHost } from './host-protocol.ts';
import { fileIdentity, inspectModelFile, type ModelFile } from './model-file.ts';
import { type GenerationSink, RunningGenerations } from './running-generations.ts';
import { createWatchdog } from './watchdog.ts';

/**
 * One model on this machine, in a process of its own.
 *
 *   absent ──load()──► loading ──loaded──► ready ──unload()──► draining ──process ended──► absent
 *                         │                  │                    │
 *                         └──────── process ended, silent or mad ─┘──► absent
 *
 * `loading` checks the file first and only then starts the process. `draining` takes nothing new, lets what runs finish for
 * `drainMs`, cancels the rest, and kills the process when it has not ended `killMs` later. However the process ends, every
 * generation that still ran ends with a failure that may be retried, and `load` may be called again. Only `absent` and
 * `ready` last; nothing is persisted.
 */

export interface GenerateRequest {
  /** A UUID that no other running generation has. */
  readonly generation: string;
  readonly request: GenerationRequest;
}

export interface ComputeRequest {
  /** A UUID that no other running generation or task has. */
  readonly generation: string;
  readonly task: ModelTask;
}

export interface GenerationHandle {
  /** Ends it within one batch. */
  cancel(): void;
  /** Lets `tokens` more tokens come. Without credit the generation pauses and keeps its place. */
  credit(tokens: number): void;
}

export interface InferenceHost {
  /** Whether it takes generations. */
  readonly ready: boolean;
  /** Bytes that the model takes, as the engine counts them; 0 when it is not loaded. */
  readonly memoryBytes: number;
  /** The process, while there is one. */
  readonly pid: number | undefined;
  /** @throws GridError MODEL_FAILED, HASH_MISMATCH, or CONFLICT when it is not absent */
  load(): Promise<void>;
  /** Never throws: whatever is wrong comes to the sink, and nothing comes to it before this returns. */
  generate(request: GenerateRequest, sink: GenerationSink): GenerationHandle;
  /** The same for work whose result is numbers: the sink gets values, and the end. */
  compute(request: ComputeRequest, sink: GenerationSink): GenerationHandle;
  /** Resolves when the process is gone. Does nothing when the model is absent. */
  unload(): Promise<void>;
}

/** One process from its start to its end. */
interface Session {
  readonly process: EngineProcess;
  phase: 'loading' | 'ready' | 'draining';
  /** Why it was killed; otherwise its exit says why it ended. */
  verdict: { code: GenerationFailure; reason: string } | undefined;
  readonly ended: PromiseWithResolvers<void>;
  readonly loaded: PromiseWithResolvers<void>;
  readonly timers: Set<Cancellable>;
  /** Generations that the host has not confirmed yet. */
  readonly unconfirmed: Set<string>;
  /** It was told to unload, or killed while loading. */
  finishing: boolean;
}

export function createInferenceHost(options: InferenceHostOptions): InferenceHost {
  const { host, name, log } = options;
  const limits: HostLimits = { ...LIMITS, ...options.limits };
  const running = new RunningGenerations();
  let session: Session | undefined;
  let inspection: AbortController | undefined;
  const expected = options.sha256 ?? options.file?.sha256;
  let file = options.file;
  let memoryBytes = 0;

  const watchdog = createWatchdog(host, limits.silenceMs, () =>
    condemn('HOST_SILENT', `the engine gave no sign of life for ${limits.silenceMs} ms`),
  );

  function condemn(code: GenerationFailure, reason: string): void {
    if (session === undefined) return;
    session.verdict ??= { code, reason: shortReason(reason) };
    session.process.kill();
  }

  function after(own: Session, ms: number, run: () => void): void {
    own.timers.add(host.scheduler.after(ms, run));
  }

  /** Nothing runs any more, or has had its time. */
  function finish(own: Session): void {
    if (own.finishing) return;
    own.finishing = true;
    own.process.send({ type: 'unload' });
    after(own, limits.killMs, () => own.process.kill());
  }

  function onMessage(own: Session, message: FromHost): void {
    watchdog.feed();
    switch (message.type) {
      case 'estimated':
        return options.onState('loading', message.memoryBytes);
      case 'loaded':
        memoryBytes = message.memoryBytes;
        return own.loaded.resolve();
      case 'loadFailed':
        return condemn('NOT_READY', message.reason);
      case 'tokens':
        if (!running.tokens(message.id, message)) condemn('HOST_LOST', 'the inference host lost tokens');
        return undefined;
      case 'values':
        if (!running.values(message.id, message.values)) condemn('HOST_LOST', 'the inference host lost values');
        return undefined;
      case 'accepted':
        own.unconfirmed.delete(message.id);
        return undefined;
      case 'ended':
        own.unconfirmed.delete(message.id);
        running.end(message.id, message.end, own.phase === 'draining');
        if (running.size > 0) return undefined;
        watchdog.disarm();
        return own.phase === 'draining' ? finish(own) : undefined;
      case 'tick':
        if (message.evaluating > 0) watchdog.arm();
        else if (own.unconfirmed.size === 0) watchdog.disarm();
        return undefined;
      case 'log':
        return log[message.level]({ model: name }, message.text);
      case 'defect':
        return condemn('HOST_LOST', `the inference host failed: ${message.reason}`);
      case 'unloaded':
        return undefined;
    }
  }

  function onExit(own: Session, reason: string): void {
    watchdog.disarm();
    for (const timer of own.timers) timer.cancel();
    session = undefined;
    memoryBytes = 0;
    const verdict = own.verdict ?? { code: 'HOST_LOST' as const, reason };
    if (own.phase === 'draining') {
      running.failAll('UNLOADED', 'the model was unloaded');
      options.onState('unloaded', 0);
    } else {
      log.warn({ model: name }, verdict.reason);
      running.failAll(verdict.code, verdict.reason);
      options.onState('failed', 0, verdict.reason);
    }
    own.loaded.reject(
      new GridError('MODEL_FAILED', `The model ${name} could not be loaded: ${verdict.reason}.`, {
        fix: "See the agent's log for what the engine wrote.",
      }),
    );
    own.ended.resolve();
  }

  const startEngine =
    options.engine ?? ((events: EngineEvents) => forkHost(hostEnvironment(options.environment ?? process.env, options.devices), events));

  function start(): Session {
    const own: Session = {
      phase: 'loading',
      verdict: undefined,
      ended: Promise.withResolvers(),
      loaded: Promise.withResolvers(),
      timers: new Set(),
      unconfirmed: new Set(),
      finishing: false,
      process: startEngine({
        onMessage: (message) => onMessage(own, message),
        onNonsense: (reason) => condemn('HOST_LOST', reason),
        onLine: (line) => log.info({ model: name }, line),
        onExit: (reason) => onExit(own, reason),
      }),
    };
    own.loaded.promise.catch(() => {}); // whoever waits for it gets it; an exit in any later state has nobody waiting
    return own;
  }

  async function inspect(modelPath: string): Promise<ModelFile> {
    inspection = new AbortController();
    const { signal } = inspection;
    try {
      file = await inspectModelFile(modelPath, file, signal);
      if (expected !== undefined && file.sha256 !== expected) {
        throw new GridError('HASH_MISMATCH', `The model file ${modelPath} has the SHA-256 ${file.sha256}, expected ${expected}.`, {
          fix: 'Put the right file there, or register the model anew.',
        });
      }
      return file;
    } catch (error) {
      if (signal.aborted) options.onState('unloaded', 0);
      else options.onState('failed', 0, shortReason(error));
      throw signal.aborted ? new GridError('CONFLICT', `The model ${name} was unloaded while it was about to be loaded.`) : error;
    } finally {
      inspection = undefined;
    }
  }

  async function load(): Promise<void> {
    if (session !== undefined || inspection !== undefined)
      throw new GridError('CONFLICT', `The model ${name} is loaded already, or about to be.`);
    const { modelPath, contextSize, sequences, gpu = false, threads = defaultThreads() } = options;
    options.onState('loading', 0);
    const checked = modelPath === null ? undefined : await inspect(modelPath);
    const own = start();
    session = own;
    after(own, limits.loadMs, () => {
      if (own.phase === 'loading') condemn('NOT_READY', `loading took longer than ${limits.loadMs} ms`);
    });
    own.process.send({ type: 'load', options: { modelPath: modelPath ?? '', contextSize, sequences, threads, gpu } });
    await own.loaded.promise;
    // Between the check and the engine's own opening somebody might have put another file there.
    const now = modelPath === null ? undefined : await fileIdentity(modelPath).catch(() => undefined);
    if (now?.identity !== checked?.identity) condemn('NOT_READY', 'the model file was replaced while it was loaded');
    if (own.verdict !== undefined || own.phase !== 'loading') await own.ended.promise;
    if (session !== own)
      throw new GridError('MODEL_FAILED', `The model ${name} could not be loaded: ${own.verdict?.reason ?? 'its host ended'}.`);
    own.phase = 'ready';
    options.onState('ready', memoryBytes);
  }

  async function unload(): Promise<void> {
    inspection?.abort();
    const own = session;
    if (own === undefined) return;
    if (own.phase === 'loading') {
      own.finishing = true;
      own.verdict ??= { code: 'UNLOADED', reason: 'it was unloaded meanwhile' };
      own.process.kill(); // half a model cannot be given back
    } else if (running.size === 0) finish(own);
    else if (own.phase === 'ready') after(own, limits.drainMs, () => finish(own));
    own.phase = 'draining';
    await own.ended.promise;
  }

  function begin(generation: string, sink: GenerationSink, first: number, message: ToHost): GenerationHandle {
    const own = session;
    if (own?.phase !== 'ready' || running.has(generation)) {
      const reason = running.has(generation) ? `a generation ${generation} runs already` : `the model ${name} is not loaded here`;
      const outcome = { outcome: 'failed', code: 'NOT_READY', reason, promptTokens: 0, completionTokens: 0, retryable: true } as const;
      host.scheduler.microtask(() => sink.ended(outcome)); // never before the caller has its handle
      return { cancel() {}, credit() {} };
    }
    running.add(generation, sink, first);
    own.unconfirmed.add(generation);
    own.process.send(message);
    watchdog.arm();
    return {
      cancel() {
        running.cancel(generation);
        own.process.send({ type: 'cancel', id: generation });
      },
      credit: (tokens) => own.process.send({ type: 'credit', id: generation, tokens }),
    };
  }

  return {
    get ready() {
      return session?.phase === 'ready';
    },
    get memoryBytes() {
      return memoryBytes;
    },
    get pid() {
      return session?.process.pid;
    },
    load,
    generate({ generation, request }, sink) {
      const message = { type: 'generate', id: generation, request, credit: limits.credit } as const;
      return begin(generation, sink, request.resume?.tokens.length ?? 0, message);
    },
    compute: ({ generation, task }, sink) => begin(generation, sink, 0, { type: 'compute', id: generation, task }),
    unload,
  };
}
