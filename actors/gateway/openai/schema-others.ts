import { z } from 'zod';

import type { GenerationRequest, ModelTask } from '#actors/contract/generation.ts';

import { BadChatRequest } from './errors.ts';
import { badChatRequest } from './schema-errors.ts';
import {
  Harmless,
  ModelName,
  optional,
  RunFields,
  runOf,
  SamplingFields,
  samplingOf,
  StreamFields,
  Text,
  Token,
  TokenLimit,
} from './schema-parts.ts';

/** The requests of `/v1/completions`, `/v1/embeddings` and `/v1/rerank`. */

const Tokens = z.array(Token).min(1).max(100_000);

const CompletionBody = z.strictObject({
  model: ModelName,
  prompt: z.union([Text, Tokens, z.array(Text).min(1).max(128), z.array(Tokens).min(1).max(128)]),
  ...StreamFields,
  max_tokens: optional(TokenLimit),
  ...SamplingFields,
  n: optional(z.int().min(1).max(128)),
  best_of: optional(z.literal(1)),
  echo: optional(z.boolean()),
  logprobs: optional(z.int().min(0).max(5)),
  suffix: optional(z.literal('')),
  ...RunFields,
  ...Harmless,
});

export interface CompletionRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly n: number;
  readonly logprobs: boolean;
  /** One for each prompt; its choices come one after the other. */
  readonly requests: readonly GenerationRequest[];
  /** What each answer begins with: its prompt, when it was asked for. */
  readonly echoes: readonly string[];
}

const isTokens = (value: readonly unknown[]): value is number[] => typeof value[0] === 'number';

function refuse(param: string, why: string): never {
  throw new BadChatRequest('invalid_value', param, `Invalid value for '${param}': ${why}.`);
}

/** @throws BadChatRequest that names the first field that is unknown, not supported, or wrong */
export function parseCompletionRequest(body: unknown, randomSeed: () => number): CompletionRequest {
  const parsed = CompletionBody.safeParse(body);
  if (!parsed.success) throw badChatRequest(body, parsed.error.issues);
  const { data } = parsed;
  if (data.stream_options != null && data.stream !== true) refuse('stream_options', "is only allowed when 'stream' is true");
  const { prompt } = data;
  const prompts: readonly (string | number[])[] = typeof prompt === 'string' || isTokens(prompt) ? [prompt] : prompt;
  const echo = data.echo ?? false;
  if (echo && prompts.some((each) => typeof each !== 'string')) refuse('echo', 'is served for prompts that are text');
  if (echo && data.logprobs != null) refuse('echo', "is not served together with 'logprobs'");
  const sampling = samplingOf(data, { maxTokens: data.max_tokens ?? 16, logprobs: data.logprobs ?? undefined, randomSeed });
  return {
    model: data.model,
    stream: data.stream ?? false,
    includeUsage: data.stream_options?.include_usage ?? false,
    n: data.n ?? 1,
    logprobs: data.logprobs != null,
    requests: prompts.map((each) => ({ prompt: each, sampling, ...runOf(data) })),
    echoes: prompts.map((each) => (echo && typeof each === 'string' ? each : '')),
  };
}

const EmbeddingBody = z.strictObject({
  model: ModelName,
  input: z.union([Text.min(1), Tokens, z.array(Text.min(1)).min(1).max(2048), z.array(Tokens).min(1).max(2048)]),
  encoding_format: optional(z.enum(['float', 'base64'])),
  dimensions: optional(z.int().min(1).max(100_000)),
  ...Harmless,
});

export interface EmbeddingRequest {
  readonly model: string;
  readonly task: ModelTask;
  readonly base64: boolean;
  /** Vectors are cut to so many dimensions and made unit length again. */
  readonly dimensions: number | undefined;
}

/** @throws BadChatRequest that names the first field that is unknown, not supported, or wrong */
export function parseEmbeddingRequest(body: unknown): EmbeddingRequest {
  const parsed = EmbeddingBody.safeParse(body);
  if (!parsed.success) throw badChatRequest(body, parsed.error.issues);
  const { model, input, encoding_format: encoding, dimensions } = parsed.data;
  const inputs: (string | number[])[] = typeof input === 'string' || isTokens(input) ? [input] : input;
  return { model, task: { kind: 'embedding', inputs }, base64: encoding === 'base64', dimensions: dimensions ?? undefined };
}

const Document = z.union([Text, z.strictObject({ text: Text })]);
const RerankBody = z.strictObject({
  model: ModelName,
  query: Text.min(1),
  documents: z.array(Document).min(1).max(2048),
  top_n: optional(z.int().min(1)),
  return_documents: optional(z.boolean()),
  ...Harmless,
});

export interface RerankRequest {
  readonly model: string;
  readonly task: ModelTask;
  readonly documents: readonly string[];
  readonly topN: number;
  readonly returnDocuments: boolean;
}

/** Cohere's and Jina's form, which llama.cpp and vLLM serve too. @throws BadChatRequest that names the first field that is wrong */
export function parseRerankRequest(body: unknown): RerankRequest {
  const parsed = RerankBody.safeParse(body);
  if (!parsed.success) throw badChatRequest(body, parsed.error.issues);
  const { model, query, top_n: topN, return_documents: returnDocuments } = parsed.data;
  const documents = parsed.data.documents.map((document) => (typeof document === 'string' ? document : document.text));
  const task: ModelTask = { kind: 'rerank', query, documents };
  return { model, task, documents, topN: topN ?? documents.length, returnDocuments: returnDocuments ?? false };
}
