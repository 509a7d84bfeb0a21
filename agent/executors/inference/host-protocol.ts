import { z } from 'zod';

import { AnswerStatement } from '#actors/contract/answer-receipt.ts';
import { GenerationFailure, type GenerationRequest, type ModelTask, TokenLogprob, ValuesMessage } from '#actors/contract/generation.ts';

/**
 * What an agent and its inference host say to each other. The agent parses everything it hears: the host works on model
 * files from anywhere and might have been taken over by one.
 */

export interface LoadOptions {
  readonly modelPath: string;
  /** Tokens that each sequence can hold. */
  readonly contextSize: number;
  /** Generations at once. */
  readonly sequences: number;
  readonly threads: number;
  readonly gpu: 'auto' | false;
}

export interface GenerateCommand {
  readonly id: string;
  readonly request: GenerationRequest;
  /** Tokens that may be sent before more credit comes. */
  readonly credit: number;
}

export interface ComputeCommand {
  readonly id: string;
  readonly task: ModelTask;
}

/** What a task computed: see contract/generation.ts. `from` is the index of the first. */
export const TaskValues = ValuesMessage.omit({ type: true, generation: true });
export type TaskValues = z.infer<typeof TaskValues>;

export type ToHost =
  | { readonly type: 'load'; readonly options: LoadOptions }
  | ({ readonly type: 'generate' } & GenerateCommand)
  | ({ readonly type: 'compute' } & ComputeCommand)
  | { readonly type: 'cancel'; readonly id: string }
  | { readonly type: 'credit'; readonly id: string; readonly tokens: number }
  | { readonly type: 'unload' };

const Count = z.number().int().nonnegative();
const Reason = z.string().max(2000);

const Counts = { promptTokens: Count, completionTokens: Count, cachedTokens: Count.optional() };

/** What is signed about an answer besides what everybody sees: see contract/answer-receipt.ts. Only engines that know it say it. */
const AnswerProof = AnswerStatement.pick({ prompt: true, template: true, engine: true });
export type AnswerProof = z.infer<typeof AnswerProof>;

/** How a generation ended. */
export const GenerationEnd = z.discriminatedUnion('outcome', [
  z.strictObject({
    outcome: z.enum(['stop', 'length', 'cancelled']),
    ...Counts,
    proof: AnswerProof.optional(),
  }),
  z.strictObject({ outcome: z.literal('failed'), ...Counts, code: GenerationFailure, reason: Reason }),
]);
export type GenerationEnd = z.infer<typeof GenerationEnd>;

export const FromHost = z.discriminatedUnion('type', [
  /** What loading will take, before it begins. */
  z.strictObject({ type: z.literal('estimated'), memoryBytes: Count }),
  z.strictObject({ type: z.literal('loaded'), memoryBytes: Count, contextSize: z.number().int().positive() }),
  z.strictObject({ type: z.literal('loadFailed'), reason: Reason }),
  /** The command arrived, whether or not there is a free sequence for it. */
  z.strictObject({ type: z.literal('accepted'), id: z.uuid() }),
  /** `from` counts the generation's tokens; text may lag behind them by the rest of a character or of a possible stop string. */
  z.strictObject({
    type: z.literal('tokens'),
    id: z.uuid(),
    from: Count,
    ids: z.array(Count).max(10_000),
    text: z.string().max(1_000_000),
    logprobs: z.array(TokenLogprob).max(10_000).optional(),
  }),
  z.strictObject({ type: z.literal('values'), id: z.uuid(), values: TaskValues }),
  z.strictObject({ type: z.literal('ended'), id: z.uuid(), end: GenerationEnd }),
  /** Sent at most every 250 ms while batches are computed, and whenever the last one is done. */
  z.strictObject({ type: z.literal('tick'), evaluating: Count }),
  z.strictObject({ type: z.literal('log'), level: z.enum(['info', 'warn']), text: Reason }),
  z.strictObject({ type: z.literal('unloaded') }),
  /** An error that nobody caught. The host ends itself after it. */
  z.strictObject({ type: z.literal('defect'), reason: Reason }),
]);
export type FromHost = z.infer<typeof FromHost>;

export function shortReason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 2000);
}
