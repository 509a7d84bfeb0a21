import {
  getLlama,
  GgufInsights,
  type Llama,
  type LlamaContext,
  LlamaLogLevel,
  LlamaLogLevelGreaterThan,
  type LlamaEmbeddingContext,
  type LlamaModel,
  type LlamaRankingContext,
  readGgufFileInfo,
  type Token,
} from 'node-llama-cpp';

import { textDigestOf } from '#actors/contract/answer-receipt.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { Host } from '#runtime/kernel/host.ts';

import { createGrammars, type GrammarState } from './grammar.ts';
import { createBatchOrder, queuedSequenceIds } from './batch-order.ts';
import { type ChatTemplate, createChatTemplate } from './prompt.ts';
import type { Evaluating } from './evaluating.ts';
import type { LoadOptions } from './host-protocol.ts';
import { bytesOfPiece } from './token-bytes.ts';

/** Rows that the engine computes at once. Smaller answers a cancellation sooner, larger reads prompts faster. */
const BATCH_SIZE = 512;

/** A model in memory, ready to generate. */
export interface LoadedModel {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly template: ChatTemplate;
  /** Compiles a grammar (GBNF). @throws Error when it is none */
  readonly grammar: (text: string) => GrammarState;
  /** The text of one token. A part of a character has the bytes of U+FFFD: the engine tells no others. */
  readonly bytesOf: (token: Token) => Uint8Array;
  /** What computes vectors, made when the first one is wanted. */
  embedder(): Promise<LlamaEmbeddingContext>;
  /** What computes scores of documents. @throws Error when the model was not made for it */
  ranker(): Promise<LlamaRankingContext>;
  readonly options: LoadOptions;
  /** What computes here, and the hash of the chat template: both are signed with each answer. */
  readonly origin: { readonly engine: string; readonly template: string };
  /** Bytes of main and GPU memory that model and context take. */
  readonly memoryBytes: number;
  dispose(): Promise<void>;
}

export interface EngineOptions {
  readonly host: Host;
  readonly evaluating: Evaluating;
  readonly log: (level: 'info' | 'warn', text: string) => void;
}

/** The engine itself, started but without a model. One per process: parts of llama.cpp are global. */
export interface Engine {
  /** Bytes that a model will take, out of its header alone. */
  estimate(options: LoadOptions): Promise<number>;
  load(options: LoadOptions): Promise<LoadedModel>;
  dispose(): Promise<void>;
}

async function estimate(llama: Llama, options: LoadOptions): Promise<number> {
  const insights = await GgufInsights.from(await readGgufFileInfo(options.modelPath, { logWarnings: false }), llama);
  const gpuLayers = llama.gpu === false ? 0 : insights.totalLayers;
  const weights = insights.estimateModelResourceRequirements({ gpuLayers });
  const { contextSize, sequences } = options;
  const cache = insights.estimateContextResourceRequirements({ contextSize, sequences, batchSize: BATCH_SIZE, modelGpuLayers: gpuLayers });
  return Math.ceil(weights.cpuRam + weights.gpuVram + cache.cpuRam + cache.gpuVram);
}

/** Made at the first call, and again after a failure. */
function once<T>(create: () => Promise<T>): { make: () => Promise<T>; readonly made: Promise<T> | undefined } {
  let made: Promise<T> | undefined;
  return {
    make() {
      made ??= create().catch((error: unknown) => {
        made = undefined;
        throw error;
      });
      return made;
    },
    get made() {
      return made;
    },
  };
}

async function load(llama: Llama, options: LoadOptions, evaluating: Evaluating): Promise<LoadedModel> {
  const model = await llama.loadModel({ modelPath: options.modelPath, checkTensors: true });
  try {
    const template = createChatTemplate(model);
    // The strategy is asked for its order only once the context is there.
    const holder: { context?: LlamaContext } = {};
    const order = createBatchOrder(
      (count) => queuedSequenceIds(holder.context, count),
      () => evaluating.batch(),
    );
    const context = await model.createContext({
      contextSize: options.contextSize,
      sequences: options.sequences,
      batchSize: Math.min(BATCH_SIZE, options.contextSize),
      threads: options.threads,
      batching: { itemPrioritizationStrategy: order },
      failedCreationRemedy: false,
    });
    holder.context = context;
    const memoryBytes = [model.memoryUsage, context.memoryUsage].reduce((sum, { ram, vram }) => sum + ram + vram, 0);
    const whole = { contextSize: options.contextSize, batchSize: options.contextSize, threads: options.threads };
    const embedder = once(() => model.createEmbeddingContext(whole));
    const ranker = once(() => model.createRankingContext(whole));
    const dispose = async (): Promise<void> => {
      for (const made of [embedder.made, ranker.made]) await made?.then((extra) => extra.dispose()).catch(() => {});
      await context.dispose();
      await model.dispose();
    };
    const encoder = new TextEncoder();
    const vocabulary = model.fileInfo.metadata.tokenizer?.ggml;
    return {
      model,
      context,
      template,
      options,
      origin: {
        engine: `llama.cpp ${llama.llamaCppRelease.release} ${process.platform}-${process.arch} ${llama.gpu === false ? 'cpu' : llama.gpu}`,
        template: textDigestOf(model.fileInfo.metadata.tokenizer?.chat_template ?? '', sha256),
      },
      embedder: embedder.make,
      ranker: ranker.make,
      grammar: createGrammars(llama, model),
      bytesOf: (token) => bytesOfPiece(vocabulary?.tokens[token] ?? '', vocabulary?.model) ?? encoder.encode(model.detokenize([token])),
      memoryBytes: Math.ceil(memoryBytes),
      dispose,
    };
  } catch (error) {
    await model.dispose();
    throw error;
  }
}

/** @throws Error when there is no binary of the engine for this machine; it is never compiled or downloaded here */
export async function startEngine(gpu: LoadOptions['gpu'], { evaluating, log }: EngineOptions): Promise<Engine> {
  const llama = await getLlama({
    gpu,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    logger: (level, text) => log(LlamaLogLevelGreaterThan(level, LlamaLogLevel.info) ? 'warn' : 'info', text.trim()),
    // No ceiling besides the context's own number of threads.
    maxThreads: 0,
  });
  return {
    estimate: (options) => estimate(llama, options),
    load: (options) => load(llama, options, evaluating),
    dispose: () => llama.dispose(),
  };
}
