import type { FromAgent } from '#actors/contract/agent-link.ts';
import { createInferenceHost, type GenerationHandle, type InferenceHost } from '#agent/executors/inference/inference-host.ts';
import type { ModelFile } from '#agent/executors/inference/model-file.ts';
import { defineActor } from '#runtime/kernel/actor.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { Log } from '#runtime/observe/log.ts';

import { ModelsProtocol } from './models.protocol.ts';

/** A model file that this machine offers. */
export interface OfferedModel {
  readonly name: string;
  readonly file: ModelFile;
  readonly contextSize: number;
}

export interface ModelsArgs {
  readonly host: Host;
  readonly offered: readonly OfferedModel[];
  /** Generations at once, per model. */
  readonly sequences: number;
  readonly log: Log;
  readonly send: (message: FromAgent) => void;
}

/** Loads, serves and unloads the offered models; each loaded one is an inference host process. */
export const modelsActor = defineActor({
  protocol: ModelsProtocol,
  start(context, { host, offered, sequences, log, send }: ModelsArgs) {
    const hosts = new Map<string, InferenceHost>();
    const generations = new Map<string, GenerationHandle>();

    context.onStop(async () => {
      await Promise.all([...hosts.values()].map((h) => h.unload()));
    });

    function hostOf(model: string, sha256: string): InferenceHost | null {
      const known = hosts.get(model);
      if (known !== undefined) return known;
      const found = offered.find((o) => o.file.sha256 === sha256);
      if (found === undefined) return null;
      const made = createInferenceHost({
        host,
        modelPath: found.file.path,
        file: found.file,
        name: model,
        contextSize: found.contextSize,
        sequences,
        log,
        onState: (state, memoryBytes, reason) => tellState(model, state, memoryBytes, reason),
      });
      hosts.set(model, made);
      return made;
    }

    function tellState(model: string, state: 'loading' | 'ready' | 'unloaded' | 'failed', memoryBytes: number, reason?: string): void {
      send({ type: 'modelState', model, state, memoryBytes, ...(reason === undefined ? {} : { reason }) });
    }

    function failed(generation: string, reason: string): void {
      const counts = { promptTokens: 0, completionTokens: 0 };
      send({ type: 'generationEnded', generation, outcome: 'failed', code: 'NOT_READY', ...counts, reason, retryable: true });
    }

    return {
      load({ model, sha256 }) {
        const inference = hostOf(model, sha256);
        if (inference === null) return tellState(model, 'failed', 0, 'this machine does not have the file any more');
        // Loaded for an earlier session of the grid: it only has to be told again.
        if (inference.memoryBytes > 0) return tellState(model, 'ready', inference.memoryBytes);
        context.pipe(inference.load(), (result) => {
          if (!result.ok) log.warn({ model, error: result.error }, 'model not loaded');
        });
      },
      unload(model) {
        const inference = hosts.get(model);
        if (inference === undefined) return;
        context.pipe(inference.unload(), (result) => {
          if (!result.ok) log.warn({ model, error: result.error }, 'model not unloaded cleanly');
        });
      },
      generate({ generation, model, request }) {
        const inference = hosts.get(model);
        if (inference === undefined) return failed(generation, 'the model is not loaded here');
        const handle = inference.generate(
          { generation, request },
          {
            tokens(from, tokens, text, logprobs) {
              const likelihoods = logprobs === undefined ? {} : { logprobs: [...logprobs] };
              send({ type: 'tokens', generation, from, tokens: [...tokens], text, ...likelihoods });
              // The link's window is the back-pressure here: what it took may be computed again.
              handle.credit(tokens.length);
            },
            ended(end) {
              generations.delete(generation);
              const { outcome, promptTokens, completionTokens, retryable } = end;
              const more =
                end.outcome === 'failed'
                  ? { code: end.code, reason: end.reason }
                  : end.cachedTokens === undefined
                    ? {}
                    : { cachedTokens: end.cachedTokens };
              send({ type: 'generationEnded', generation, outcome, promptTokens, completionTokens, ...more, retryable });
            },
          },
        );
        generations.set(generation, handle);
      },
      cancel(generation) {
        generations.get(generation)?.cancel();
      },
    };
  },
});
