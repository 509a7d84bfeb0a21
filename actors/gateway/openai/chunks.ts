import type { FromAgent } from '#actors/contract/agent-link.ts';

/**
 * The objects of OpenAI's chat API, field for field as its published schema has them
 * (https://github.com/openai/openai-openapi), and how a stream of them is written.
 */

type GenerationEnded = Extract<FromAgent, { type: 'generationEnded' }>;
/** How an answer can end well. A cancelled or failed one gets an error instead. */
export type FinishReason = Extract<GenerationEnded['outcome'], 'stop' | 'length'>;

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** What all objects of one answer have in common. */
export interface AnswerHead {
  /** `chatcmpl-` and something unique. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

export interface ChatCompletion extends AnswerHead {
  readonly object: 'chat.completion';
  readonly choices: readonly [
    {
      readonly index: 0;
      readonly message: { readonly role: 'assistant'; readonly content: string; readonly refusal: null };
      readonly logprobs: null;
      readonly finish_reason: FinishReason;
    },
  ];
  readonly usage: Usage;
}

interface ChunkChoice {
  readonly index: 0;
  readonly delta: { readonly role?: 'assistant'; readonly content?: string; readonly refusal?: null };
  readonly logprobs: null;
  readonly finish_reason: FinishReason | null;
}

export interface ChatCompletionChunk extends AnswerHead {
  readonly object: 'chat.completion.chunk';
  readonly choices: readonly ChunkChoice[];
  /** Only there when the client asked for usage: null in every chunk but the last. */
  readonly usage?: Usage | null;
}

export function usageOf({ promptTokens, completionTokens }: Pick<GenerationEnded, 'promptTokens' | 'completionTokens'>): Usage {
  return { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens };
}

/** A whole answer. */
export function chatCompletion(
  { id, created, model }: AnswerHead,
  content: string,
  finishReason: FinishReason,
  usage: Usage,
): ChatCompletion {
  const message = { role: 'assistant', content, refusal: null } as const;
  return {
    id,
    object: 'chat.completion',
    created,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason }],
    usage,
  };
}

/** Makes the chunks of one streamed answer. In order: `role` once, `content` for each piece, `finish` once, `usage` if it was asked for. */
export interface Chunks {
  role(): ChatCompletionChunk;
  content(text: string): ChatCompletionChunk;
  finish(reason: FinishReason): ChatCompletionChunk;
  usage(usage: Usage): ChatCompletionChunk;
}

export function createChunks({ id, created, model }: AnswerHead, includeUsage: boolean): Chunks {
  const chunk = (choices: readonly ChunkChoice[], usage: Usage | null = null): ChatCompletionChunk => {
    const body = { id, object: 'chat.completion.chunk', created, model, choices } as const;
    return includeUsage ? { ...body, usage } : body;
  };
  const choice = (delta: ChunkChoice['delta'], reason: FinishReason | null = null): ChunkChoice => ({
    index: 0,
    delta,
    logprobs: null,
    finish_reason: reason,
  });
  return {
    role: () => chunk([choice({ role: 'assistant', content: '', refusal: null })]),
    content: (text) => chunk([choice({ content: text })]),
    finish: (reason) => chunk([choice({}, reason)]),
    usage: (usage) => chunk([], usage),
  };
}

/** One server-sent event. JSON has no raw line breaks, so the data is always one line. */
export function sseEvent(data: object): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** The last event of a stream that ended well. After an error there is none: the stream just closes. */
export const SSE_DONE = 'data: [DONE]\n\n';

/** Ignored by clients; keeps proxies from closing a stream whose first token takes long. */
export const SSE_KEEP_ALIVE = ': keep-alive\n\n';

export interface ModelObject {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
}

/** @param created seconds since 1970 when the grid first saw it */
export function modelObject(name: string, created: number): ModelObject {
  return { id: name, object: 'model', created, owned_by: 'corpgrid' };
}

export function modelList(models: readonly ModelObject[]): { readonly object: 'list'; readonly data: readonly ModelObject[] } {
  return { object: 'list', data: models };
}
