import type { TokenLogprob } from '#actors/contract/generation.ts';

import type { ReplyUsage } from './answers.ts';
import { type AnswerPart, ToolCallReader } from './tool-calls.ts';

/**
 * The objects of OpenAI's chat API, field for field as its published schema has them
 * (https://github.com/openai/openai-openapi), and how a stream of them is written.
 */

/** How an answer can end well. A cancelled or failed one gets an error instead. */
export type FinishReason = 'stop' | 'length' | 'tool_calls';

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** What all objects of one answer have in common. */
export interface AnswerHead {
  /** `chatcmpl-` and something unique. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

export function usageOf({ promptTokens, completionTokens, cachedTokens }: ReplyUsage): Usage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

const utf8 = new TextDecoder();

interface LogprobObject {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

function logprobObject({ logprob, bytes }: Pick<TokenLogprob, 'logprob' | 'bytes'>): LogprobObject {
  return { token: utf8.decode(bytes), logprob: Math.max(logprob, -9999), bytes: [...bytes] };
}

function logprobsOf(tokens: readonly TokenLogprob[]): object {
  return { content: tokens.map((token) => ({ ...logprobObject(token), top_logprobs: token.top.map(logprobObject) })), refusal: null };
}

/** How the text of one choice is read. */
export interface ChoiceReading {
  readonly logprobs: boolean;
  /** It may hold calls. */
  readonly calls: boolean;
  /** Of a call, by its index in the choice. */
  readonly callId: (index: number) => string;
}

interface ToolCallObject {
  readonly id: string;
  readonly type: 'function';
  readonly function: { readonly name: string; arguments: string };
}

/** A choice of a whole answer, collected. */
export class WholeChoice {
  readonly #index: number;
  readonly #reading: ChoiceReading;
  readonly #reader: ToolCallReader | null;
  readonly #calls: ToolCallObject[] = [];
  readonly #logprobs: TokenLogprob[] = [];
  #content = '';
  #finish: FinishReason = 'stop';

  constructor(index: number, reading: ChoiceReading) {
    this.#index = index;
    this.#reading = reading;
    this.#reader = reading.calls ? new ToolCallReader() : null;
  }

  text(text: string, logprobs: readonly TokenLogprob[]): void {
    for (const token of logprobs) this.#logprobs.push(token);
    if (this.#reader === null) this.#content += text;
    else this.#take(this.#reader.push(text));
  }

  finished(reason: 'stop' | 'length'): void {
    if (this.#reader !== null) this.#take(this.#reader.end());
    this.#finish = finishOf(reason, this.#reader);
  }

  get content(): string {
    return this.#content;
  }

  get calls(): readonly ToolCallObject[] {
    return this.#calls;
  }

  get finish(): FinishReason {
    return this.#finish;
  }

  toJSON(): object {
    const calls = this.#calls.length === 0 ? {} : { tool_calls: this.#calls };
    const content = this.#calls.length > 0 && this.#content === '' ? null : this.#content;
    return {
      index: this.#index,
      message: { role: 'assistant', content, refusal: null, ...calls },
      logprobs: this.#reading.logprobs ? logprobsOf(this.#logprobs) : null,
      finish_reason: this.#finish,
    };
  }

  #take(parts: readonly AnswerPart[]): void {
    for (const part of parts) {
      if (part.type === 'content') this.#content += part.text;
      else if (part.type === 'call')
        this.#calls.push({ id: this.#reading.callId(part.index), type: 'function', function: { name: part.name, arguments: '' } });
      else {
        const call = this.#calls[part.index];
        if (call !== undefined) call.function.arguments += part.text;
      }
    }
  }
}

function finishOf(reason: 'stop' | 'length', reader: ToolCallReader | null): FinishReason {
  return reason === 'stop' && reader !== null && reader.complete > 0 ? 'tool_calls' : reason;
}

export function chatCompletion(head: AnswerHead, choices: readonly WholeChoice[], usage: Usage): object {
  const { id, created, model } = head;
  return { id, object: 'chat.completion', created, model, choices, usage, system_fingerprint: null, service_tier: 'default' };
}

/** Writes the events of one choice of a streamed answer. In order: `role` once, `text` for each piece, `finished` once. */
export class ChoiceStream {
  readonly #before: string;
  readonly #after: string;
  readonly #reading: ChoiceReading;
  readonly #reader: ToolCallReader | null;

  /** @param withUsage the client asked for usage: every chunk but the last says null */
  constructor(head: AnswerHead, index: number, { reading, withUsage }: { reading: ChoiceReading; withUsage: boolean }) {
    // What does not change is written once: a token costs the writing of its text.
    this.#before = `data: ${chunkHead(head)},"choices":[{"index":${index},"delta":`;
    this.#after = `}]${withUsage ? ',"usage":null' : ''}}\n\n`;
    this.#reading = reading;
    this.#reader = reading.calls ? new ToolCallReader() : null;
  }

  role(): string {
    return this.#event('{"role":"assistant","content":"","refusal":null}');
  }

  text(text: string, logprobs: readonly TokenLogprob[]): string {
    if (this.#reader === null && !this.#reading.logprobs) return text === '' ? '' : this.#event(`{"content":${JSON.stringify(text)}}`);
    const parts: readonly AnswerPart[] = this.#reader?.push(text) ?? [{ type: 'content', text }];
    const likelihoods = this.#reading.logprobs && logprobs.length > 0 ? JSON.stringify(logprobsOf(logprobs)) : 'null';
    const events = parts.map((part, index) => this.#event(this.#delta(part), index === 0 ? likelihoods : 'null'));
    // Tokens whose text is still held back have likelihoods all the same.
    if (parts.length === 0 && likelihoods !== 'null') events.push(this.#event('{"content":""}', likelihoods));
    return events.join('');
  }

  finished(reason: 'stop' | 'length'): string {
    const rest = (this.#reader?.end() ?? []).map((part) => this.#event(this.#delta(part))).join('');
    return rest + this.#event('{}', 'null', `"${finishOf(reason, this.#reader)}"`);
  }

  #delta(part: AnswerPart): string {
    if (part.type === 'content') return `{"content":${JSON.stringify(part.text)}}`;
    const { index } = part;
    const call =
      part.type === 'call'
        ? { index, id: this.#reading.callId(index), type: 'function', function: { name: part.name, arguments: '' } }
        : { index, function: { arguments: part.text } };
    return JSON.stringify({ tool_calls: [call] });
  }

  #event(delta: string, logprobs = 'null', finish = 'null'): string {
    return `${this.#before}${delta},"logprobs":${logprobs},"finish_reason":${finish}${this.#after}`;
  }
}

function chunkHead({ id, created, model }: AnswerHead): string {
  return JSON.stringify({ id, object: 'chat.completion.chunk', created, model, system_fingerprint: null, service_tier: 'default' }).slice(
    0,
    -1,
  );
}

export function usageEvent(head: AnswerHead, usage: Usage): string {
  return `data: ${chunkHead(head)},"choices":[],"usage":${JSON.stringify(usage)}}\n\n`;
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
