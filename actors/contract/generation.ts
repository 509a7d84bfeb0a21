import { z } from 'zod';

import { SignedAnswer } from './answer-receipt.ts';
import { Bytes, Sha256 } from './primitives.ts';

/**
 * What a coordinator asks of a model on an agent, and what comes back.
 *
 * A generation is one answer: tokens at positions 0, 1, 2 …, each reported exactly once and in order. It may begin on one device
 * and go on on another, so nothing here is relative to a device: positions, limits and counts are those of the whole answer.
 * Fields that were added later are optional, and left out unless they are used, so that an older agent goes on serving the rest.
 */

export const GenerationId = z.uuid();

const Count = z.number().int().nonnegative();
const Token = Count.max(0x7fff_ffff);
/** Checked by hand: token lists are most of what agents send, and a schema per number costs more than the rest of a message. */
const TokenList = z.custom<number[]>(
  (value) => Array.isArray(value) && value.length <= 10_000 && value.every(isToken),
  'expected token ids',
);
const Text = z.string().max(1_000_000);
function isToken(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0x7fff_ffff;
}

/** JSON Schemas and grammars; larger ones take longer to compile than to answer. */
const Program = z.string().max(200_000);

export const SamplingOptions = z.strictObject({
  /** Tokens of the whole answer, those of `resume` included. */
  maxTokens: z.number().int().min(1).max(1_000_000),
  /** 0: always the likeliest token. */
  temperature: z.number().min(0).max(2),
  topP: z.number().gt(0).max(1),
  seed: z.number().int().min(0).max(0xffff_ffff),
  stop: z.array(z.string().min(1).max(200)).max(4),
  /** 0 or left out: all tokens. */
  topK: Count.max(1_000_000).optional(),
  minP: z.number().min(0).max(1).optional(),
  /** OpenAI's: subtracted from a logit for each time, or once, that the token stands in the answer so far (not the prompt). */
  frequencyPenalty: z.number().min(-2).max(2).optional(),
  presencePenalty: z.number().min(-2).max(2).optional(),
  /** Added to logits before anything else; -100 bans a token, 100 all but forces it. */
  logitBias: z
    .array(z.strictObject({ token: Token, bias: z.number().min(-100).max(100) }))
    .max(1024)
    .optional(),
  /** So many alternatives are reported with each token (0: the token's own only). Left out: no log-probabilities at all. */
  logprobs: Count.max(20).optional(),
  /**
   * The token at position p is drawn with `positionSeed(seed, p)` alone, so that an answer which goes on elsewhere draws what it
   * would have drawn here. Left out: one seed for the run.
   */
  seedPerPosition: z.boolean().optional(),
});
export type SamplingOptions = z.infer<typeof SamplingOptions>;

const FunctionName = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/);
const CallId = z.string().min(1).max(100);

/** A call that the assistant made in an earlier turn. `arguments` is JSON text. */
export const ToolCall = z.strictObject({ id: CallId, name: FunctionName, arguments: Text });
export type ToolCall = z.infer<typeof ToolCall>;

/** One turn. Only assistants have `toolCalls`; only tools answer a `toolCallId`. */
export const ChatMessage = z.strictObject({
  role: z.enum(['system', 'user', 'assistant', 'tool']),
  content: Text,
  toolCalls: z.array(ToolCall).max(128).optional(),
  toolCallId: CallId.optional(),
});
export type ChatMessage = z.infer<typeof ChatMessage>;

/** A function that the model may call. `parameters` is a JSON Schema as text. */
export const ToolSpec = z.strictObject({
  name: FunctionName,
  description: z.string().max(20_000).optional(),
  parameters: Program,
});
export type ToolSpec = z.infer<typeof ToolSpec>;

export const ToolChoice = z.union([z.enum(['auto', 'none', 'required']), z.strictObject({ name: FunctionName })]);
export type ToolChoice = z.infer<typeof ToolChoice>;

/**
 * The prompt's tools. The engine writes them into the prompt: by the chat template when that knows tools, else as
 * `toolInstructions` (tool-text.ts) in the system message. Either way the answer's calls come as text in the form of tool-text.ts, to which
 * `grammar` holds the model; an engine that gets calls in another form writes them down in this one.
 */
export const ToolUse = z.strictObject({
  tools: z.array(ToolSpec).min(1).max(128),
  choice: ToolChoice,
  /** More than one call in one answer. */
  parallel: z.boolean(),
});
export type ToolUse = z.infer<typeof ToolUse>;

/**
 * The answer so far, of an answer that began elsewhere. The engine evaluates prompt and `tokens`, replays them through grammar,
 * penalties, decoder and stop strings without reporting them, and goes on with position `tokens.length`.
 */
export const Resume = z.strictObject({
  tokens: z.array(Token).max(1_000_000),
  /** UTF-16 units of text reported so far: the next text begins right behind, though it may belong to a token of `tokens`. */
  textLength: Count,
});
export type Resume = z.infer<typeof Resume>;

/** One answer, by tokens. Exactly one of `messages` and `prompt`. */
const requestFields = {
  messages: z.array(ChatMessage).min(1).max(10_000).optional(),
  /** Evaluated as it stands, with no chat template: text, or tokens. Text gets the model's begin token if it wants one. */
  prompt: z.union([Text, z.array(Token).min(1).max(1_000_000)]).optional(),
  sampling: SamplingOptions,
  toolUse: ToolUse.optional(),
  /** GBNF, as llama.cpp reads it; the answer is a word of it. An end of the model counts only where the grammar can end. */
  grammar: Program.optional(),
  /** The JSON Schema that `grammar` was made of, for engines that take schemas only. */
  jsonSchema: Program.optional(),
  /** Runs alone in its batch: the same request gives the same bytes on the same build. */
  deterministic: z.boolean().optional(),
  /** Higher first, default 0. */
  priority: z.number().int().min(-10).max(10).optional(),
  resume: Resume.optional(),
};

/** What is asked of the engine, without whose it is. */
export const GenerationRequest = z.strictObject(requestFields);
export type GenerationRequest = z.infer<typeof GenerationRequest>;

/** Characters. */
export const MOST_NOTE = 100_000;

export const GenerateMessage = z.strictObject({
  type: z.literal('generate'),
  generation: GenerationId,
  model: z.string().min(1).max(120),
  ...requestFields,
  /** Whatever the coordinator wants to read again after a restart of its own. The agent keeps it with the answer's log. */
  note: z.string().max(MOST_NOTE).optional(),
  /** Its end comes with a signed statement about the answer. Only for agents with the feature `receipts`. */
  receipt: z.literal(true).optional(),
});

/**
 * From a coordinator that knows nothing of the answer any more: the agent repeats its note and its log from the first token, and
 * goes on with it. One that it does not know is answered by an end with `NOT_READY`.
 */
export const ReattachMessage = z.strictObject({ type: z.literal('reattach'), generation: GenerationId });

/** Answers a `reattach`, before the tokens: all that another device needs to go on, should this one be lost after all. */
export const ReattachedMessage = z.strictObject({
  type: z.literal('reattached'),
  generation: GenerationId,
  model: z.string().min(1).max(120),
  request: GenerationRequest,
  note: z.string().max(MOST_NOTE),
});

const Input = z.union([Text, z.array(Token).min(1).max(1_000_000)]);

/** Work on a model whose result is numbers, not an answer. Values come in the order of the inputs, then the end. */
export const ModelTask = z.discriminatedUnion('kind', [
  /** One vector for each input, of unit length. */
  z.strictObject({ kind: z.literal('embedding'), inputs: z.array(Input).min(1).max(2048) }),
  /** One score for each document, higher is better. */
  z.strictObject({ kind: z.literal('rerank'), query: Text, documents: z.array(Text).min(1).max(2048) }),
  /** Teacher-forced: one prefill over prompt and `tokens`; for each token its log-probability and its gap to the likeliest one. */
  z.strictObject({
    kind: z.literal('score'),
    messages: z.array(ChatMessage).min(1).max(10_000).optional(),
    prompt: Input.optional(),
    toolUse: ToolUse.optional(),
    tokens: z.array(Token).min(1).max(1_000_000),
  }),
  /**
   * Whether an answer is the model's own: one prefill over the request's prompt and the answer, and the sampler replayed at each place. Its
   * gaps are logits: by so much another machine's arithmetic would have to differ to come to the same token. With `stop` there is one more gap, for the
   * end. Only for agents with the feature `receipts`.
   */
  z.strictObject({
    kind: z.literal('audit'),
    request: GenerationRequest.omit({ resume: true, priority: true, deterministic: true }),
    tokens: z.array(Token).max(1_000_000),
    outcome: z.enum(['stop', 'length']),
  }),
]);
export type ModelTask = z.infer<typeof ModelTask>;

export const ComputeMessage = z.strictObject({
  type: z.literal('compute'),
  generation: GenerationId,
  model: z.string().min(1).max(120),
  task: ModelTask,
});

const Likelihood = { token: Token, logprob: z.number().max(0), bytes: Bytes.refine((bytes) => bytes.length <= 1024, 'too long') };

/** How likely a token was, before temperature and the rest of sampling. `bytes` is its text, which may be a part of a character. */
export const TokenLogprob = z.strictObject({ ...Likelihood, top: z.array(z.strictObject(Likelihood)).max(20) });
export type TokenLogprob = z.infer<typeof TokenLogprob>;

/** `from` is the position of the first of `tokens`. Text lags behind them inside a character or a possible stop string. */
export const TokensMessage = z.strictObject({
  type: z.literal('tokens'),
  generation: GenerationId,
  from: Count,
  tokens: TokenList,
  text: Text,
  /** One for each of `tokens`, when they were asked for. */
  logprobs: z.array(TokenLogprob).max(10_000).optional(),
});

/** Results of a task: `from` is the index of the first. */
export const ValuesMessage = z.strictObject({
  type: z.literal('values'),
  generation: GenerationId,
  from: Count,
  /** embedding: float32, little-endian. */
  vectors: z.array(Bytes).max(2048).optional(),
  /** rerank. */
  scores: z.array(z.number()).max(2048).optional(),
  /** score: log-probability of each token, and max logit minus its logit. */
  logprobs: z.array(z.number()).max(100_000).optional(),
  gaps: z.array(z.number()).max(100_000).optional(),
  /** audit: of the prompt's tokens, as the auditor makes them. */
  prompt: Sha256.optional(),
});

/**
 * Why a generation failed.
 * The request is wrong, here and anywhere: `CONTEXT_LENGTH` it does not fit the context; `PROMPT` the chat template refuses the
 * messages; `GRAMMAR` the grammar cannot be compiled; `UNSUPPORTED` this engine cannot do what a field asks; `CONTENT_FILTER` an upstream
 * refuses the content.
 * Another try may succeed: `ENGINE` the engine failed; `BUSY` too many wait (`retryAfterMs` says how long to stay away); `NOT_READY` no model
 * is loaded; `UNLOADED` it was taken away; `HOST_LOST` its process ended; `HOST_SILENT` it stopped answering; `UPSTREAM` an
 * upstream broke off; `DEVICE_LOST` the coordinator lost the device.
 */
export const GenerationFailure = z.enum([
  'CONTEXT_LENGTH', 'PROMPT', 'GRAMMAR', 'UNSUPPORTED', 'CONTENT_FILTER',
  'ENGINE', 'BUSY', 'NOT_READY', 'UNLOADED', 'HOST_LOST', 'HOST_SILENT', 'UPSTREAM', 'DEVICE_LOST',
]); // prettier-ignore
export type GenerationFailure = z.infer<typeof GenerationFailure>;

const LASTING: ReadonlySet<GenerationFailure> = new Set(['CONTEXT_LENGTH', 'PROMPT', 'GRAMMAR', 'UNSUPPORTED', 'CONTENT_FILTER']);

/** Whether the same generation may succeed when it is tried again, there or on another device. */
export function isRetryable(code: GenerationFailure): boolean {
  return !LASTING.has(code);
}

/** The end of a generation or task. Exactly one, and nothing after it. Counts are those of the whole answer. */
export const GenerationEndedMessage = z.strictObject({
  type: z.literal('generationEnded'),
  generation: GenerationId,
  outcome: z.enum(['stop', 'length', 'cancelled', 'failed']),
  promptTokens: Count,
  completionTokens: Count,
  /** Of `promptTokens`: those that did not have to be evaluated, as an earlier prompt began alike. */
  cachedTokens: Count.optional(),
  /** Of a failed one. */
  code: GenerationFailure.optional(),
  reason: z.string().max(2000).optional(),
  /** With `BUSY`: milliseconds. */
  retryAfterMs: Count.optional(),
  retryable: z.boolean(),
  /** Of one that was asked for it and ended by itself, where the engine tells what it computed. */
  receipt: SignedAnswer.optional(),
});

/**
 * The seed of one position: splitmix32 over both, so that neighbouring positions and neighbouring seeds have nothing in common.
 *
 * @param seed 0 to 2^32 - 1
 * @param position of the token in the answer
 */
export function positionSeed(seed: number, position: number): number {
  let z = (Math.imul(seed, 0x9e37_79b9) + Math.imul(position + 1, 0x85eb_ca6b)) | 0;
  z = Math.imul(z ^ (z >>> 16), 0x21f0_aaad);
  z = Math.imul(z ^ (z >>> 15), 0x735a_2d97);
  return (z ^ (z >>> 15)) >>> 0;
}
