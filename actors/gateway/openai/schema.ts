import { z } from 'zod';

import type { ChatMessage, GenerationRequest, ToolChoice, ToolUse } from '#actors/contract/generation.ts';

import { answerGrammar, UnsupportedAnswer } from './grammar/answer-grammar.ts';
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
  TokenLimit,
} from './schema-parts.ts';

/**
 * `POST /v1/chat/completions`. Every field is either honoured or refused by name: a field that is dropped in silence gives an
 * answer to another question.
 */

const TextPart = z.strictObject({ type: z.literal('text'), text: Text });
const Content = z.union([Text, z.array(TextPart).min(1).max(1000)]);
const FunctionName = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'must be 1 to 64 letters, digits, dots, dashes or underscores');
const CallId = z.string().min(1).max(100);
const Call = z.strictObject({
  id: CallId,
  type: z.literal('function'),
  // Clients that parse arguments hand the parsed ones back.
  function: z.strictObject({ name: FunctionName, arguments: Text, parsed_arguments: z.unknown().optional() }),
});

const Message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer', 'user']), content: Content }),
  z.strictObject({
    role: z.literal('assistant'),
    content: optional(Content),
    tool_calls: optional(z.array(Call).max(128)),
    // Replies come back as history with the nulls that this API, and clients that parse, gave them.
    refusal: optional(z.never()),
    parsed: z.unknown().optional(),
  }),
  z.strictObject({ role: z.literal('tool'), content: Content, tool_call_id: CallId }),
]);

const JsonSchema = z.record(z.string(), z.unknown());
const Tool = z.strictObject({
  type: z.literal('function'),
  function: z.strictObject({
    name: FunctionName,
    description: optional(z.string().max(20_000)),
    parameters: optional(JsonSchema),
    strict: optional(z.boolean()),
  }),
});
const Choice = z.union([
  z.enum(['auto', 'none', 'required']),
  z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: FunctionName }) }),
]);

const ResponseFormat = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal('json_object') }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: z.strictObject({
      name: z.string().min(1).max(64),
      description: optional(z.string().max(20_000)),
      schema: optional(JsonSchema),
      strict: optional(z.boolean()),
    }),
  }),
]);

const Body = z.strictObject({
  model: ModelName,
  messages: z.array(Message).min(1).max(10_000),
  ...StreamFields,
  max_tokens: optional(TokenLimit),
  max_completion_tokens: optional(TokenLimit),
  ...SamplingFields,
  n: optional(z.int().min(1).max(128)),
  logprobs: optional(z.boolean()),
  top_logprobs: optional(z.int().min(0).max(20)),
  tools: optional(z.array(Tool).max(128)),
  tool_choice: optional(Choice),
  parallel_tool_calls: optional(z.boolean()),
  response_format: optional(ResponseFormat),
  service_tier: optional(z.enum(['auto', 'default'])),
  store: optional(z.boolean()),
  ...RunFields,
  ...Harmless,
});
type Body = z.infer<typeof Body>;

/** A chat request in the grid's own terms. */
export interface ChatRequest {
  readonly model: string;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Choices. */
  readonly n: number;
  readonly logprobs: boolean;
  /** The answer may hold calls. */
  readonly calls: boolean;
  readonly request: GenerationRequest;
}

function textOf(content: z.infer<typeof Content> | null | undefined): string {
  if (content == null) return '';
  return typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
}

function messageOf(message: z.infer<typeof Message>): ChatMessage {
  const content = textOf(message.content);
  if (message.role === 'tool') return { role: 'tool', content, toolCallId: message.tool_call_id };
  if (message.role !== 'assistant') return { role: message.role === 'developer' ? 'system' : message.role, content };
  const calls = message.tool_calls ?? [];
  if (calls.length === 0) return { role: 'assistant', content };
  return {
    role: 'assistant',
    content,
    toolCalls: calls.map((call) => ({ id: call.id, name: call.function.name, arguments: call.function.arguments })),
  };
}

const NO_PARAMETERS = { type: 'object', properties: {} };

function toolUseOf(body: Body): ToolUse | undefined {
  const tools = body.tools ?? [];
  if (tools.length === 0) {
    if (body.tool_choice != null && body.tool_choice !== 'none' && body.tool_choice !== 'auto') refuse('tool_choice', "needs 'tools'");
    return undefined;
  }
  const given = body.tool_choice ?? 'auto';
  const choice: ToolChoice = typeof given === 'string' ? given : { name: given.function.name };
  if (typeof choice === 'object' && !tools.some((tool) => tool.function.name === choice.name))
    refuse('tool_choice', `'${choice.name}' is not among the tools`);
  const names = tools.map((tool) => tool.function.name);
  const twice = names.findIndex((name, index) => names.indexOf(name) !== index);
  if (twice >= 0) refuse(`tools[${twice}].function.name`, 'is the name of another tool too');
  return {
    tools: tools.map(({ function: { name, description, parameters } }) => ({
      name,
      ...(description == null ? {} : { description }),
      parameters: JSON.stringify(parameters ?? NO_PARAMETERS),
    })),
    choice,
    parallel: body.parallel_tool_calls ?? true,
  };
}

function schemaOf(body: Body): unknown {
  const format = body.response_format;
  if (format == null || format.type === 'text') return undefined;
  if (format.type === 'json_object') return { type: 'object' };
  return format.json_schema.schema ?? { type: 'object' };
}

/** @throws BadChatRequest */
function refuse(param: string, why: string): never {
  throw new BadChatRequest('invalid_value', param, `Invalid value for '${param}': ${why}.`);
}

/** @throws BadChatRequest that names where in a schema something cannot be enforced */
export function grammarOf(schema: unknown, toolUse: ToolUse | undefined, param: string): string | undefined {
  try {
    return answerGrammar({ schema, toolUse });
  } catch (error) {
    if (!(error instanceof UnsupportedAnswer)) throw error;
    const where = error.tool === null ? param : `tools[${error.tool}].function.parameters`;
    const at = error.at === '' ? where : `${where}.${error.at.slice(0, 200)}`;
    throw new BadChatRequest('invalid_schema', at, `Unsupported schema at '${at}': ${error.message}.`);
  }
}

function checkTogether(body: Body): void {
  const { max_tokens: maxTokens, max_completion_tokens: maxCompletionTokens } = body;
  if (body.stream_options != null && body.stream !== true) refuse('stream_options', "is only allowed when 'stream' is true");
  if (maxTokens != null && maxCompletionTokens != null && maxTokens !== maxCompletionTokens)
    refuse('max_tokens', "says something else than 'max_completion_tokens'");
  if (body.top_logprobs != null && body.logprobs !== true) refuse('top_logprobs', "needs 'logprobs' to be true");
  if (body.parallel_tool_calls != null && (body.tools ?? []).length === 0) refuse('parallel_tool_calls', "needs 'tools'");
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
  checkTogether(data);
  const toolUse = toolUseOf(data);
  const schema = schemaOf(data);
  const grammar = grammarOf(schema, toolUse, 'response_format.json_schema.schema');
  return {
    model: data.model,
    stream: data.stream ?? false,
    includeUsage: data.stream_options?.include_usage ?? false,
    n: data.n ?? 1,
    logprobs: data.logprobs ?? false,
    calls: toolUse !== undefined && toolUse.choice !== 'none',
    request: {
      messages: data.messages.map(messageOf),
      sampling: samplingOf(data, {
        // Without a limit an answer ends by itself or with the context.
        maxTokens: data.max_completion_tokens ?? data.max_tokens ?? 1_000_000,
        logprobs: data.logprobs === true ? (data.top_logprobs ?? 0) : undefined,
        randomSeed,
      }),
      ...runOf(data),
      ...(toolUse === undefined ? {} : { toolUse }),
      ...(grammar === undefined ? {} : { grammar }),
      ...(schema === undefined ? {} : { jsonSchema: JSON.stringify(schema) }),
    },
  };
}
