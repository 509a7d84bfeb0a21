import { z } from 'zod';

import { BadChatRequest } from './errors.ts';
import { type ChatRequest, parseChatRequest } from './schema.ts';
import { badChatRequest } from './schema-errors.ts';
import { Harmless, ModelName, optional, RunFields, SamplingFields, Text, TokenLimit } from './schema-parts.ts';

/**
 * `POST /v1/responses`: the same conversation in OpenAI's newer words. It is read into a chat request, so that both doors mean the same.
 * Nothing is stored here: `previous_response_id`, `conversation` and `background` are refused by name.
 */

const InputText = z.strictObject({
  type: z.enum(['input_text', 'output_text', 'text']),
  text: Text,
  annotations: z.array(z.unknown()).optional(),
  logprobs: z.unknown().optional(),
});
const Content = z.union([Text, z.array(InputText).min(1).max(1_000)]);
const Ids = { id: optional(z.string().max(200)), status: optional(z.string().max(40)) };
const Item = z.union([
  z.strictObject({
    type: z.literal('message').optional(),
    role: z.enum(['system', 'developer', 'user', 'assistant']),
    content: Content,
    ...Ids,
  }),
  z.strictObject({
    type: z.literal('function_call'),
    call_id: z.string().min(1).max(100),
    name: z.string().min(1).max(64),
    arguments: Text,
    ...Ids,
  }),
  z.strictObject({ type: z.literal('function_call_output'), call_id: z.string().min(1).max(100), output: Content, ...Ids }),
]);
const Tool = z.strictObject({
  type: z.literal('function'),
  name: z.string().min(1).max(64),
  description: optional(z.string().max(20_000)),
  parameters: optional(z.record(z.string(), z.unknown())),
  strict: optional(z.boolean()),
});
const Format = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal('json_object') }),
  z.strictObject({
    type: z.literal('json_schema'),
    name: z.string().min(1).max(64),
    description: optional(z.string().max(20_000)),
    schema: z.record(z.string(), z.unknown()),
    strict: optional(z.boolean()),
  }),
]);

const Body = z.strictObject({
  model: ModelName,
  input: z.union([Text.min(1), z.array(Item).min(1).max(10_000)]),
  instructions: optional(Text),
  stream: optional(z.boolean()),
  max_output_tokens: optional(TokenLimit),
  temperature: SamplingFields.temperature,
  top_p: SamplingFields.top_p,
  tools: optional(z.array(Tool).max(128)),
  tool_choice: optional(
    z.union([z.enum(['auto', 'none', 'required']), z.strictObject({ type: z.literal('function'), name: z.string().min(1).max(64) })]),
  ),
  parallel_tool_calls: optional(z.boolean()),
  text: optional(z.strictObject({ format: optional(Format) })),
  truncation: optional(z.literal('disabled')),
  store: optional(z.boolean()),
  service_tier: optional(z.enum(['auto', 'default'])),
  ...RunFields,
  ...Harmless,
});
type Body = z.infer<typeof Body>;

export interface ResponsesRequest {
  readonly chat: ChatRequest;
  /** What the answer repeats of its request. */
  readonly echo: object;
}

function textOf(content: z.infer<typeof Content>): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
}

/** Calls that follow one another are one turn of the assistant. */
function messagesOf({ input, instructions }: Body): object[] {
  const messages: { role: string; content: string | null; tool_calls?: object[]; tool_call_id?: string }[] = [];
  if (instructions != null) messages.push({ role: 'system', content: instructions });
  if (typeof input === 'string') return [...messages, { role: 'user', content: input }];
  for (const item of input) {
    if (item.type === 'function_call') {
      const call = { id: item.call_id, type: 'function', function: { name: item.name, arguments: item.arguments } };
      const last = messages.at(-1);
      if (last?.role === 'assistant') last.tool_calls = [...(last.tool_calls ?? []), call];
      else messages.push({ role: 'assistant', content: null, tool_calls: [call] });
    } else if (item.type === 'function_call_output') {
      messages.push({ role: 'tool', content: textOf(item.output), tool_call_id: item.call_id });
    } else messages.push({ role: item.role, content: textOf(item.content) });
  }
  return messages;
}

function chatBodyOf(body: Body): object {
  const { tools, tool_choice: choice, text, max_output_tokens: limit } = body;
  const format = text?.format;
  const { type, ...schema } = format ?? { type: 'text' };
  return {
    model: body.model,
    messages: messagesOf(body),
    stream: body.stream,
    max_completion_tokens: limit,
    temperature: body.temperature,
    top_p: body.top_p,
    tools: tools?.map(({ type: kind, ...made }) => ({ type: kind, function: made })),
    tool_choice: choice == null || typeof choice === 'string' ? choice : { type: 'function', function: { name: choice.name } },
    parallel_tool_calls: (tools ?? []).length === 0 ? undefined : body.parallel_tool_calls,
    response_format: type === 'json_schema' ? { type, json_schema: schema } : { type },
    deterministic: body.deterministic,
  };
}

/** Where a field of a chat request stands here. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^messages/, 'input'],
  [/^response_format\.json_schema\.schema/, 'text.format.schema'],
  [/^response_format/, 'text.format'],
  [/^max_completion_tokens/, 'max_output_tokens'],
  [/^(tools\[\d+\])\.function\./, '$1.'],
];

/** @throws BadChatRequest that names the first field that is unknown, not supported, or wrong */
export function parseResponsesRequest(body: unknown, randomSeed: () => number): ResponsesRequest {
  const parsed = Body.safeParse(body);
  if (!parsed.success) throw badChatRequest(body, parsed.error.issues);
  const { data } = parsed;
  try {
    return { chat: parseChatRequest(chatBodyOf(data), randomSeed), echo: echoOf(data) };
  } catch (error) {
    if (!(error instanceof BadChatRequest)) throw error;
    const param = NAMES.reduce((at, [found, name]) => at.replace(found, name), error.path ?? '');
    throw new BadChatRequest(error.openAiCode, param, error.message.replaceAll(`'${error.path}'`, `'${param}'`));
  }
}

function echoOf(body: Body): object {
  return {
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    // Kept nowhere, whatever was wished: nobody shall believe that it can be had again.
    store: false,
    temperature: body.temperature ?? 1,
    text: { format: body.text?.format ?? { type: 'text' } },
    tool_choice: body.tool_choice ?? 'auto',
    tools: (body.tools ?? []).map((tool) => ({ ...tool, strict: tool.strict ?? false })),
    top_p: body.top_p ?? 1,
    truncation: 'disabled',
    user: body.user ?? null,
  };
}
