import { randomUUID } from 'node:crypto';
import path from 'node:path';

import { expect, onTestFinished } from 'vitest';

import type { ChatMessage, SamplingOptions } from '#actors/contract/generation.ts';
import { createInferenceHost, type GenerationHandle, type InferenceHost } from '#agent/executors/inference/inference-host.ts';
import type { InferenceHostOptions, ModelState } from '#agent/executors/inference/host-options.ts';
import type { GenerationOutcome } from '#agent/executors/inference/running-generations.ts';
import { realHost } from '#runtime/host.ts';
import { type TinyLlamaOptions, writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { logRecord, type LogRecord } from '#tests/support/log-record.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

import { childrenOf } from './processes.ts';

export interface Generated {
  readonly handle: GenerationHandle;
  readonly texts: string[];
  readonly ids: number[];
  readonly text: string;
  /** Resolves when that many tokens have come. */
  arrived(tokens: number): Promise<void>;
  readonly ended: Promise<GenerationOutcome>;
}

export interface ModelOnTrial {
  readonly model: InferenceHost;
  readonly modelPath: string;
  readonly states: [state: ModelState, memoryBytes: number, reason: string | undefined][];
  readonly log: LogRecord;
  /** Grants credit for each token as it comes, unless `credit` is false. */
  readonly generate: (content: string | ChatMessage[], sampling?: Partial<SamplingOptions>, options?: { credit?: boolean }) => Generated;
}

export const sampling = (changes: Partial<SamplingOptions> = {}): SamplingOptions => ({
  maxTokens: 40,
  temperature: 0,
  topP: 1,
  seed: 1,
  stop: [],
  ...changes,
});

function collect(model: InferenceHost, messages: ChatMessage[], options: SamplingOptions, credit: boolean): Generated {
  const texts: string[] = [];
  const ids: number[] = [];
  const outcome = Promise.withResolvers<GenerationOutcome>();
  const waiting: { tokens: number; resolve: () => void }[] = [];
  const handle = model.generate(
    { generation: randomUUID(), request: { messages, sampling: options } },
    {
      tokens(from, more, text) {
        expect(from).toBe(ids.length);
        ids.push(...more);
        texts.push(text);
        if (credit) handle.credit(more.length);
        for (const { tokens, resolve } of waiting) if (ids.length >= tokens) resolve();
      },
      ended: (result) => outcome.resolve(result),
    },
  );
  return {
    handle,
    texts,
    ids,
    get text() {
      return texts.join('');
    },
    arrived: (tokens) =>
      new Promise((resolve) => {
        if (ids.length >= tokens) resolve();
        else waiting.push({ tokens, resolve });
      }),
    ended: outcome.promise,
  };
}

/** All hosts of the running test: none may be left when the processes are counted. */
const onTrial = new Set<InferenceHost>();

/** A host for a model file of its own. When the test ends it is unloaded, and no process may be left. */
export async function modelOnTrial(
  tiny: TinyLlamaOptions | string = {},
  options: Partial<InferenceHostOptions> = {},
): Promise<ModelOnTrial> {
  const folder = await temporaryFolder('inference');
  const modelPath = typeof tiny === 'string' ? tiny : path.join(folder, 'tiny.gguf');
  if (typeof tiny !== 'string') writeTinyLlama(modelPath, tiny);
  const states: ModelOnTrial['states'] = [];
  const log = logRecord();
  const model = createInferenceHost({
    host: realHost(), modelPath, name: 'tiny', contextSize: 1024, sequences: 2, threads: 1, log, ...options,
    onState: (state, memoryBytes, reason) => states.push([state, memoryBytes, reason]),
  }); // prettier-ignore
  const before = new Set(childrenOf(process.pid));
  onTrial.add(model);
  onTestFinished(async () => {
    await Promise.all([...onTrial].map((each) => each.unload()));
    onTrial.clear();
    expect(model.pid).toBeUndefined();
    expect(childrenOf(process.pid).filter((pid) => !before.has(pid))).toEqual([]);
  });
  return {
    model,
    modelPath,
    states,
    log,
    generate: (content, changes = {}, { credit = true } = {}) =>
      collect(model, typeof content === 'string' ? [{ role: 'user', content }] : content, sampling(changes), credit),
  };
}
