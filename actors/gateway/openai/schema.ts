import { z } from 'zod';

import type { ChatMessage, SamplingOptions } from '#actors/contract/generation.ts';

import { badChatRequest } from './schema-errors.ts';

/**
 * `POST /v1/chat/completions` as it is served now. Every field is either honoured or refused by name: a field that is
 * dropped in silence gives an answer to another question.
 */

/** JSON clients write null for "not given". */
const optional = <T extends z.ZodType>(schema: T) => schema.nullish();

const wellFormed = (text: string): boolean => text.isWellFormed();
const Text = z.string().max(1_000_000).refine(wellFormed, 'must be well-formed Unicode');
const TextPart = z.strictObject({ type: z.literal('text'), text: Text });
const Content = z.union([Text, z.array(TextPart).min(1).max(1000)]);

const Message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer', 'user']), content: Content }),
  // Replies come back as history with the `refusal: null` that this API gave them.
  z.strictObject({ role: z.literal('assistant'), content: Content, refusal: optional(z.never()) }),
]);

const Stop = z.string().min(1).max(200).refine(wellFormed, 'must be well-formed Unicode');
const TokenLimit = z.int().min(1).max(1_000_000);

/** Fields whose only supported value says the same as leaving them out. */
const Neutral = {
  n: optional(z.literal(1)),
  frequency_penalty: optional(z.literal(0)),
  presence_penalty: optional(z.literal(0)),
  logprobs: optional(z.literal(false)),
  response_format: optional(z.strictObject({ type: z.literal('text') })),
};

/** Fields that describe the request to its sender and change nothing about the answer. */
const Harmless = {
  user: optional(z.string().max(512)),
  metadata: optional(
    z.record(z.string().max(64), z.string().max(512)).refine((record) => Object.keys(record).length <= 16, 'has more than 16 entries'),
  ),
  store: optional(z.boolean()),
};

const Body = z.strictObject({
  model: z.string().min(1).max(120),
  messages: z.array(Message).min(1).max(10_000),
  stream: optional(z.boolean()),
  stream_options: optional(z.strictObject({ include_usage: optional(z.boolean()) })),
  max_tokens: optional(TokenLimit),
  max_completion_tokens: optional(TokenLimit),
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().min(0).max(1)),
  seed: optional(z.int()),
  stop: optional(z.union([Stop, z.array(Stop).max(4)])),
  ...Neutral,
  ...Harmless,
});

/** A chat request in the grid's own terms. */
export interface ChatRequest {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly sampling: SamplingOptions;
}

function textOf(content: z.infer<typeof Content>): string {
  return typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
}

function samplingOf(body: z.infer<typeof Body>, randomSeed: () => number): SamplingOptions {
  const stop = body.stop ?? [];
  return {
    // Without a limit an answer ends by itself or with the context.
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? 1_000_000,
    temperature: body.temperature ?? 1,
    // 0 means: only the likeliest token. The engine always keeps one.
    topP: Math.max(body.top_p ?? 1, 1e-9),
    // OpenAI's seeds are 64 bits wide and may be negative; the engine's are 32.
    seed: body.seed == null ? randomSeed() : Number(BigInt.asUintN(32, BigInt(body.seed))),
    stop: typeof stop === 'string' ? [stop] : stop,
  };
}

/**
 * @param body the parsed JSON of the request
 * @param randomSeed gives the seed, 0 to 2^32 - 1, of a request that brings none
 * @throws BadChatRequest that names the first field that is unknown, not supported, or wrong
 */
export function parseChatRequest(body: unknown, randomSeed: () => number): ChatRequest {
  const parsed = Body.safeParse(body);
  if (!parsed.success) throw badChatRequest(body, parsed.error.issues);
  const { data } = parsed;
  if (data.stream_options != null && data.stream !== true) {
    throw badChatRequest(body, [
      { code: 'custom', path: ['stream_options'], message: "is only allowed when 'stream' is true", input: body },
    ]);
  }
  const { max_tokens: maxTokens, max_completion_tokens: maxCompletionTokens } = data;
  if (maxTokens != null && maxCompletionTokens != null && maxTokens !== maxCompletionTokens) {
    throw badChatRequest(body, [
      { code: 'custom', path: ['max_tokens'], message: "says something else than 'max_completion_tokens'", input: body },
    ]);
  }
  return {
    model: data.model,
    messages: data.messages.map(({ role, content }) => ({ role: role === 'developer' ? 'system' : role, content: textOf(content) })),
    stream: data.stream ?? false,
    includeUsage: data.stream_options?.include_usage ?? false,
    sampling: samplingOf(data, randomSeed),
  };
}
