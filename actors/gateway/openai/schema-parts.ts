import { z } from 'zod';

import type { SamplingOptions } from '#actors/contract/generation.ts';
import { positionSeed } from '#actors/contract/generation.ts';

/** What the requests of several endpoints have in common. */

/** JSON clients write null for "not given". */
export const optional = <T extends z.ZodType>(schema: T) => schema.nullish();

const wellFormed = (text: string): boolean => text.isWellFormed();
export const Text = z.string().max(1_000_000).refine(wellFormed, 'must be well-formed Unicode');
export const ModelName = z.string().min(1).max(120);
const Stop = z.string().min(1).max(200).refine(wellFormed, 'must be well-formed Unicode');
export const TokenLimit = z.int().min(1).max(1_000_000);
export const Token = z.int().min(0).max(0x7fff_ffff);

/** Fields that describe the request to its sender and change nothing about the answer. */
export const Harmless = {
  user: optional(z.string().max(512)),
  metadata: optional(
    z.record(z.string().max(64), z.string().max(512)).refine((record) => Object.keys(record).length <= 16, 'has more than 16 entries'),
  ),
};

/** How tokens are chosen. `top_k` and `min_p` are llama.cpp's and vLLM's, not OpenAI's. */
export const SamplingFields = {
  temperature: optional(z.number().min(0).max(2)),
  top_p: optional(z.number().min(0).max(1)),
  top_k: optional(z.int().min(0).max(1_000_000)),
  min_p: optional(z.number().min(0).max(1)),
  seed: optional(z.int()),
  stop: optional(z.union([Stop, z.array(Stop).max(4)])),
  frequency_penalty: optional(z.number().min(-2).max(2)),
  presence_penalty: optional(z.number().min(-2).max(2)),
  logit_bias: optional(
    z
      .record(z.string().regex(/^\d{1,10}$/, 'expected token ids'), z.number().min(-100).max(100))
      .refine((record) => Object.keys(record).length <= 1024, 'has more than 1024 entries'),
  ),
};

export const StreamFields = {
  stream: optional(z.boolean()),
  stream_options: optional(z.strictObject({ include_usage: optional(z.boolean()), include_obfuscation: optional(z.literal(false)) })),
};

/** How it is computed. Ours alone. */
export const RunFields = {
  /** Alone in its batch: the same request gives the same bytes on the same build, also when it has to go on elsewhere. */
  deterministic: optional(z.boolean()),
};

export function runOf({ deterministic }: { readonly deterministic?: boolean | null | undefined }): { deterministic?: true } {
  return deterministic === true ? { deterministic } : {};
}

type SamplingBody = { readonly [K in keyof typeof SamplingFields]?: z.output<(typeof SamplingFields)[K]> };

/**
 * @param randomSeed gives the seed, 0 to 2^32 - 1, of a request that brings none
 * @param logprobs alternatives to report with each token; undefined: no log-probabilities
 */
export function samplingOf(
  body: SamplingBody,
  { maxTokens, logprobs, randomSeed }: { maxTokens: number; logprobs: number | undefined; randomSeed: () => number },
): SamplingOptions {
  const stop = body.stop ?? [];
  const temperature = body.temperature ?? 1;
  const bias = Object.entries(body.logit_bias ?? {}).map(([token, value]) => ({ token: Number(token), bias: value }));
  return {
    maxTokens,
    temperature,
    // 0 means: only the likeliest token. The engine always keeps one.
    topP: Math.max(body.top_p ?? 1, 1e-9),
    // OpenAI's seeds are 64 bits wide and may be negative; the engine's are 32.
    seed: body.seed == null ? randomSeed() : Number(BigInt.asUintN(32, BigInt(body.seed))),
    stop: typeof stop === 'string' ? [stop] : stop,
    ...(body.top_k == null || body.top_k === 0 ? {} : { topK: body.top_k }),
    ...(body.min_p == null || body.min_p === 0 ? {} : { minP: body.min_p }),
    ...(body.frequency_penalty == null || body.frequency_penalty === 0 ? {} : { frequencyPenalty: body.frequency_penalty }),
    ...(body.presence_penalty == null || body.presence_penalty === 0 ? {} : { presencePenalty: body.presence_penalty }),
    ...(bias.length === 0 ? {} : { logitBias: bias }),
    ...(logprobs === undefined ? {} : { logprobs }),
    // So that an answer whose machine goes away draws elsewhere what it would have drawn there.
    ...(temperature > 0 ? { seedPerPosition: true } : {}),
  };
}

/** The seed of one of several choices: the first has the request's own. */
export function choiceSeed(seed: number, index: number): number {
  return index === 0 ? seed : positionSeed(seed, 0x7000_0000 + index);
}
