import type { FromAgent, ModelDelivery } from '#actors/contract/agent-link.ts';
import type { StartEngine } from '#agent/executors/inference/engine-process.ts';
import { createInferenceHost, type GenerationHandle, type InferenceHost } from '#agent/executors/inference/inference-host.ts';
import type { GenerationOutcome, GenerationSink } from '#agent/executors/inference/running-generations.ts';
import type { ModelFile } from '#agent/executors/inference/model-file.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { Log } from '#runtime/observe/log.ts';

import type { GenerationLogs } from './generation-logs.ts';
import type { ModelFiles } from './model-files.ts';
import { type AnswerSigner, createAnswerSigner, type Signatory } from './answer-signer.ts';
import { ModelsProtocol } from './models.protocol.ts';
import { TokenOutlet } from './token-outlet.ts';

/** A model that a server elsewhere has. The hash is of its name there: whoever offers the same name offers the same model. */
export interface OfferedUpstream {
  readonly name: string;
  readonly file: Pick<ModelFile, 'sha256' | 'size'>;
  readonly contextSize: number;
  readonly engine: StartEngine;
}

/** A model file that this machine offers. */
export interface OfferedModel {
  readonly name: string;
  readonly file: ModelFile;
  readonly contextSize: number;
}

export interface ModelsArgs {
  readonly host: Host;
  readonly offered: readonly (OfferedModel | OfferedUpstream)[];
  /** What computes the models of files; undefined: the agent's own engine. */
  readonly engineFor?: ((file: ModelFile) => StartEngine) | undefined;
  /** What the grid gave this machine, and what it may give. */
  readonly files: (inUse: () => ReadonlySet<string>) => ModelFiles;
  readonly gridUrl: () => string;
  /** Signs answers. */
  readonly signatory: Signatory;
  /** Generations at once, per model. */
  readonly sequences: number;
  readonly log: Log;
  /** `taken` is called when the link has the message: until then it fills our memory. */
  readonly send: (message: FromAgent, taken?: () => void) => void;
  /** Of answers that a coordinator may want to have again. */
  readonly logs: GenerationLogs;
}

/** Loads, serves and unloads the offered models; each loaded one is an inference host process. */
export const modelsActor = defineActor({
  protocol: ModelsProtocol,
  start(context, { host, offered: given, engineFor, files: openFiles, gridUrl, signatory, sequences, log, send, logs }: ModelsArgs) {
    const offered = [...given];
    const hosts = new Map<string, InferenceHost>();
    /** Hash of the file behind each name. */
    const fileOf = new Map<string, string>();
    /** Downloads under way, by hash. */
    const fetching = new Map<string, AbortController>();
    const files = openFiles(() => new Set([...fetching.keys(), ...hashesInUse()]));
    const generations = new Map<string, GenerationHandle>();

    context.onStop(async () => {
      for (const download of fetching.values()) download.abort(new Error('the agent stops'));
      await Promise.all([...hosts.values()].map((h) => h.unload()));
    });

    function hostOf(model: string, sha256: string): InferenceHost | null {
      const known = hosts.get(model);
      if (known !== undefined) return known;
      const found = offered.find((o) => o.file.sha256 === sha256);
      if (found === undefined) return null;
      const made = createInferenceHost({
        host,
        ...('engine' in found
          ? { modelPath: null, engine: found.engine }
          : { modelPath: found.file.path, file: found.file, engine: engineFor?.(found.file) }),
        name: model,
        contextSize: found.contextSize,
        sequences,
        log,
        onState: (state, memoryBytes, reason) => tellState(model, state, memoryBytes, reason),
      });
      hosts.set(model, made);
      fileOf.set(model, sha256);
      return made;
    }

    function hashesInUse(): string[] {
      return [...hosts].flatMap(([model, host]) => (host.ready ? [fileOf.get(model) ?? ''] : []));
    }

    function start(model: string, inference: InferenceHost): void {
      // Loaded for an earlier session of the grid: it only has to be told again.
      if (inference.ready) return tellState(model, 'ready', inference.memoryBytes);
      void files.used(fileOf.get(model) ?? '', new Date(host.clock.wall()));
      context.pipe(inference.load(), (result) => {
        if (!result.ok) log.warn({ model, error: result.error }, 'model not loaded');
      });
    }

    /** Brings the file here and loads it. A second order for it while it is on its way changes nothing. */
    function fetchFile(model: string, sha256: string, order: ModelDelivery): void {
      if (fetching.has(sha256)) return;
      const controller = new AbortController();
      fetching.set(sha256, controller);
      const report = (receivedBytes: number): void =>
        send({ type: 'modelState', model, state: 'downloading', memoryBytes: 0, receivedBytes });
      const transfer = {
        gridUrl: gridUrl(),
        signal: controller.signal,
        after: (ms: number, run: () => void) => host.scheduler.after(ms, run),
        random: () => host.random(),
      };
      context.pipe(files.fetch(model, sha256, order, transfer, report), (result) => {
        fetching.delete(sha256);
        if (!result.ok) {
          log.warn({ model, error: result.error }, 'model not fetched');
          return tellState(model, 'failed', 0, `the file could not be fetched: ${reasonOf(result.error)}`);
        }
        log.info({ model, bytes: order.size }, 'model fetched');
        offered.push(result.value);
        const inference = hostOf(model, sha256);
        if (inference !== null) start(model, inference);
      });
    }

    function tellState(model: string, state: 'loading' | 'ready' | 'unloaded' | 'failed', memoryBytes: number, reason?: string): void {
      send({ type: 'modelState', model, state, memoryBytes, ...(reason === undefined ? {} : { reason }) });
    }

    function tellEnd(generation: string, end: GenerationOutcome, signer?: AnswerSigner): void {
      generations.delete(generation);
      const { outcome, promptTokens, completionTokens, retryable } = end;
      const more =
        end.outcome === 'failed'
          ? { code: end.code, reason: end.reason }
          : end.cachedTokens === undefined
            ? {}
            : { cachedTokens: end.cachedTokens };
      const receipt = signer?.sign(end);
      const signed = receipt === undefined || receipt === null ? {} : { receipt };
      logs.ended({ type: 'generationEnded', generation, outcome, promptTokens, completionTokens, ...more, retryable, ...signed });
    }

    function failed(generation: string, reason: string): void {
      const counts = { promptTokens: 0, completionTokens: 0 };
      send({ type: 'generationEnded', generation, outcome: 'failed', code: 'NOT_READY', ...counts, reason, retryable: true });
    }

    return {
      load({ model, sha256, file }) {
        const inference = hostOf(model, sha256);
        if (inference !== null) return start(model, inference);
        if (file !== undefined) return fetchFile(model, sha256, file);
        tellState(model, 'failed', 0, 'this machine does not have the file any more');
      },
      unload(model) {
        const inference = hosts.get(model);
        if (inference === undefined) return;
        context.pipe(inference.unload(), (result) => {
          if (!result.ok) log.warn({ model, error: result.error }, 'model not unloaded cleanly');
        });
      },
      generate({ generation, model, request, note, receipt }) {
        const inference = hosts.get(model);
        if (inference === undefined) return failed(generation, 'the model is not loaded here');
        if (note !== undefined) logs.open({ generation, model, request, note, cancel: () => handle.cancel() });
        const outlet = new TokenOutlet({
          generation,
          host,
          send: (message, taken) => logs.tokens(message, taken),
          credit: (tokens) => handle.credit(tokens),
        });
        const work = { generation, model: fileOf.get(model) ?? '', request };
        const signer = receipt ? createAnswerSigner(signatory, work) : undefined;
        const handle = inference.generate(
          { generation, request },
          {
            tokens(from, tokens, text, logprobs) {
              signer?.said(tokens, text);
              outlet.add(from, tokens, text, logprobs);
            },
            ended(end) {
              outlet.flush();
              tellEnd(generation, end, signer);
            },
          },
        );
        generations.set(generation, handle);
      },
      compute({ generation, model, task }) {
        const inference = hosts.get(model);
        if (inference === undefined) return failed(generation, 'the model is not loaded here');
        const sink: GenerationSink = {
          tokens() {},
          values: (values) => send({ type: 'values', generation, ...values }),
          ended: (end) => tellEnd(generation, end),
        };
        generations.set(generation, inference.compute({ generation, task }, sink));
      },
      cancel(generation) {
        generations.get(generation)?.cancel();
      },
      abandon() {
        for (const [generation, handle] of generations) if (!logs.has(generation)) handle.cancel();
      },
    };
  },
});

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
