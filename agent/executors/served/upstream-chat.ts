import { z } from 'zod';

import type { ChatMessage, GenerationRequest, SamplingOptions, ToolUse } from '#actors/contract/generation.ts';
import { callsAsText } from '#actors/contract/tool-text.ts';

import { type HttpClient, parse, ServedError } from './http-client.ts';
import type { Completion, CompletionEnd } from './served-engine.ts';

/**
 * An answer of any server that speaks OpenAI's chat completions or completions. It tells text and no tokens, so the answer has none
 * either: it cannot go on elsewhere, and what only tokens can do is refused.
 */

const Count = z.number().int().nonnegative();
const CallDelta = z.object({
  index: z.number().int().min(0).max(127),
  id: z.string().nullish(),
  function: z.object({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish(),
});
const Chunk = z.object({
  choices: z
    .array(
      z.object({
        text: z.string().nullish(),
        delta: z.object({ content: z.string().nullish(), tool_calls: z.array(CallDelta).nullish() }).nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .max(1)
    .default([]),
  usage: z
    .object({
      prompt_tokens: Count,
      completion_tokens: Count.default(0),
      prompt_tokens_details: z.object({ cached_tokens: Count.nullish() }).nullish(),
    })
    .nullish(),
  error: z.unknown().optional(),
});
type Chunk = z.infer<typeof Chunk>;

/** What no such server can be asked for; null: nothing of the kind is asked. */
export function unsupportedByUpstream(request: GenerationRequest): string | null {
  const { sampling, prompt, grammar, jsonSchema, toolUse } = request;
  const asked: [unknown, string][] = [
    [sampling.topK, 'top_k'],
    [sampling.minP, 'min_p'],
    [sampling.logprobs, 'log-probabilities'],
    [request.deterministic === true || undefined, 'a deterministic run'],
    [request.resume, 'an answer that began elsewhere'],
    [Array.isArray(prompt) || undefined, 'a prompt of tokens'],
    [grammar !== undefined && jsonSchema === undefined && toolUse === undefined ? grammar : undefined, 'a grammar without a schema'],
  ];
  const found = asked.find(([value]) => value !== undefined);
  return found === undefined ? null : `the upstream that serves this model cannot do ${found[1]}`;
}

function samplingOf({ maxTokens, temperature, topP, seed, stop, frequencyPenalty, presencePenalty, logitBias }: SamplingOptions): object {
  return {
    max_tokens: maxTokens,
    temperature,
    top_p: topP,
    seed,
    ...(stop.length === 0 ? {} : { stop }),
    ...(frequencyPenalty === undefined ? {} : { frequency_penalty: frequencyPenalty }),
    ...(presencePenalty === undefined ? {} : { presence_penalty: presencePenalty }),
    ...(logitBias === undefined ? {} : { logit_bias: Object.fromEntries(logitBias.map(({ token, bias }) => [token, bias])) }),
  };
}

function messageOf({ role, content, toolCalls = [], toolCallId }: ChatMessage): object {
  const calls = toolCalls.map(({ id, name, arguments: json }) => ({ id, type: 'function', function: { name, arguments: json } }));
  return {
    role,
    content: content === '' && calls.length > 0 ? null : content,
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
    ...(toolCallId === undefined ? {} : { tool_call_id: toolCallId }),
  };
}

function toolsOf({ tools, choice, parallel }: ToolUse): object {
  return {
    tools: tools.map(({ name, description, parameters }) => ({
      type: 'function',
      function: { name, ...(description === undefined ? {} : { description }), parameters: JSON.parse(parameters) as unknown },
    })),
    tool_choice: typeof choice === 'string' ? choice : { type: 'function', function: { name: choice.name } },
    parallel_tool_calls: parallel,
  };
}

/** Where a request goes and what it says there. */
export function upstreamCall(model: string, request: GenerationRequest): { path: string; body: object } {
  const { messages = [], prompt, sampling, toolUse, jsonSchema } = request;
  const common = { model, stream: true, stream_options: { include_usage: true }, ...samplingOf(sampling) };
  const schema = jsonSchema === undefined ? undefined : (JSON.parse(jsonSchema) as unknown);
  if (prompt !== undefined) {
    if (schema !== undefined) throw new ServedError('UNSUPPORTED', 'the upstream that serves this model holds only chats to a schema');
    return { path: '/completions', body: { ...common, prompt } };
  }
  const format = { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } };
  return {
    path: '/chat/completions',
    body: {
      ...common,
      messages: messages.map(messageOf),
      ...(toolUse === undefined ? {} : toolsOf(toolUse)),
      ...(schema === undefined ? {} : { response_format: format }),
    },
  };
}

/** The calls of one answer, which come in pieces. */
class Calls {
  readonly #calls: { name: string; arguments: string }[] = [];
  #size = 0;

  add(deltas: readonly z.infer<typeof CallDelta>[]): void {
    for (const { index, function: call } of deltas) {
      const known = (this.#calls[index] ??= { name: '', arguments: '' });
      known.name += call?.name ?? '';
      known.arguments += call?.arguments ?? '';
      this.#size += (call?.arguments ?? '').length;
      if (this.#size > 1_000_000) throw new ServedError('UPSTREAM', 'the server sent calls of more than 1,000,000 characters');
    }
  }

  text(): string {
    const calls = this.#calls.filter((call) => call.name !== '');
    return callsAsText(calls.map((call) => ({ ...call, arguments: call.arguments === '' ? '{}' : call.arguments })));
  }
}

/** @param model as the upstream calls it */
export async function completeByUpstream(
  http: HttpClient,
  model: string,
  { request, batcher, take, heard, signal }: Completion,
): Promise<CompletionEnd> {
  const unsupported = unsupportedByUpstream(request);
  if (unsupported !== null) throw new ServedError('UNSUPPORTED', unsupported);
  const { path, body } = upstreamCall(model, request);
  const calls = new Calls();
  let pieces = 0;
  let finish: string | undefined;
  let usage: Chunk['usage'];
  for await (const data of http.events(path, body, signal)) {
    heard();
    if (data === '[DONE]') break;
    const chunk = parse(Chunk, data);
    if (chunk.error !== undefined && chunk.error !== null) throw new ServedError('UPSTREAM', JSON.stringify(chunk.error).slice(0, 500));
    usage = chunk.usage ?? usage;
    const [choice] = chunk.choices;
    if (choice === undefined) continue;
    const text = choice.delta?.content ?? choice.text ?? '';
    calls.add(choice.delta?.tool_calls ?? []);
    if (text !== '') {
      await take();
      pieces += 1;
      batcher.addText(text);
      batcher.flush();
    }
    finish = choice.finish_reason ?? finish;
    if (signal.aborted) return { outcome: 'cancelled', promptTokens: usage?.prompt_tokens ?? 0, completionTokens: pieces };
  }
  if (finish === undefined) throw new ServedError('UPSTREAM', 'the stream ended before the answer did');
  if (finish === 'content_filter') throw new ServedError('CONTENT_FILTER', 'the upstream refuses the content');
  batcher.addText(calls.text());
  return {
    outcome: finish === 'length' ? 'length' : 'stop',
    promptTokens: usage?.prompt_tokens ?? 0,
    // Servers that do not count send about a token in each piece.
    completionTokens: usage?.completion_tokens ?? pieces,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
  };
}
