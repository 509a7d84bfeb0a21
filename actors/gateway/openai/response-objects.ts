import type { ReplyUsage } from './answers.ts';
import { type AnswerPart, ToolCallReader } from './tool-calls.ts';

/** The objects and events of OpenAI's Responses API, as its published schema has them. */

export interface ResponseHead {
  /** `resp_` and something unique. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly echo: object;
}

type Message = { readonly type: 'message'; readonly id: string; text: string };
type Call = { readonly type: 'function_call'; readonly id: string; readonly callId: string; readonly name: string; arguments: string };

function itemObject(item: Message | Call, status: 'in_progress' | 'completed' | 'incomplete'): object {
  if (item.type === 'function_call') {
    const { id, callId, name, arguments: json } = item;
    return { type: 'function_call', id, call_id: callId, name, arguments: json, status };
  }
  const content = status === 'in_progress' ? [] : [textPart(item.text)];
  return { type: 'message', id: item.id, role: 'assistant', status, content };
}

function textPart(text: string): object {
  return { type: 'output_text', text, annotations: [], logprobs: [] };
}

/** Reads one answer's text into output items, and tells of each change as an event. */
export class ResponseWriter {
  readonly #head: ResponseHead;
  readonly #unique: string;
  readonly #reader: ToolCallReader | null;
  readonly #items: (Message | Call)[] = [];
  #sequence = 0;
  /** The last item is still being written. */
  #writing = false;
  #incomplete = false;

  /** @param calls the answer may hold calls */
  constructor(head: ResponseHead, { calls, unique }: { calls: boolean; unique: string }) {
    this.#head = head;
    this.#unique = unique;
    this.#reader = calls ? new ToolCallReader() : null;
  }

  begin(): string {
    const response = this.object('in_progress', null);
    return this.#event('response.created', { response }) + this.#event('response.in_progress', { response });
  }

  text(text: string): string {
    return this.#take(this.#reader?.push(text) ?? (text === '' ? [] : [{ type: 'content', text }]));
  }

  finished(reason: 'stop' | 'length'): string {
    const events = this.#take(this.#reader?.end() ?? []);
    this.#incomplete = reason === 'length';
    // An answer of nothing is a message all the same.
    const opened = this.#items.length === 0 ? this.#open({ type: 'message', id: `msg_${this.#unique}_0`, text: '' }) : '';
    return events + opened + this.#close(this.#incomplete ? 'incomplete' : 'completed');
  }

  end(usage: ReplyUsage): string {
    const status = this.#incomplete ? 'incomplete' : 'completed';
    return this.#event(`response.${status}`, { response: this.object(status, usage) });
  }

  failed(error: object): string {
    return this.#event('error', { ...error });
  }

  object(status: 'in_progress' | 'completed' | 'incomplete', usage: ReplyUsage | null): object {
    const { id, created, model, echo } = this.#head;
    const over = status !== 'in_progress';
    const output = over ? this.#items.map((item, at) => itemObject(item, at === this.#items.length - 1 ? status : 'completed')) : [];
    return {
      id,
      object: 'response',
      created_at: created,
      status,
      error: null,
      incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      model,
      output,
      ...echo,
      reasoning: { effort: null, summary: null },
      service_tier: 'default',
      usage: usage === null ? null : usageObject(usage),
    };
  }

  /** The whole answer, once it is over. */
  get whole(): (usage: ReplyUsage) => object {
    return (usage) => this.object(this.#incomplete ? 'incomplete' : 'completed', usage);
  }

  #take(parts: readonly AnswerPart[]): string {
    let events = '';
    for (const part of parts) {
      const last = this.#items.at(-1);
      const at = this.#items.length;
      if (part.type === 'call') {
        const id = `fc_${this.#unique}_${at}`;
        events += this.#open({ type: 'function_call', id, callId: `call_${this.#unique}_${part.index}`, name: part.name, arguments: '' });
      } else if (part.type === 'arguments') {
        if (last?.type !== 'function_call') continue;
        last.arguments += part.text;
        events += this.#event('response.function_call_arguments.delta', { item_id: last.id, output_index: at - 1, delta: part.text });
      } else {
        if (last?.type !== 'message' || !this.#writing)
          events += this.#open({ type: 'message', id: `msg_${this.#unique}_${at}`, text: '' });
        const message = this.#items.at(-1);
        if (message?.type !== 'message') continue;
        message.text += part.text;
        const where = { item_id: message.id, output_index: this.#items.length - 1, content_index: 0 };
        events += this.#event('response.output_text.delta', { ...where, delta: part.text, logprobs: [] });
      }
    }
    return events;
  }

  #open(item: Message | Call): string {
    const closed = this.#close('completed');
    this.#items.push(item);
    this.#writing = true;
    const at = this.#items.length - 1;
    const added = this.#event('response.output_item.added', { output_index: at, item: itemObject(item, 'in_progress') });
    if (item.type !== 'message') return closed + added;
    const where = { item_id: item.id, output_index: at, content_index: 0 };
    return closed + added + this.#event('response.content_part.added', { ...where, part: textPart('') });
  }

  #close(status: 'completed' | 'incomplete'): string {
    const item = this.#items.at(-1);
    if (!this.#writing || item === undefined) return '';
    this.#writing = false;
    const at = this.#items.length - 1;
    // Events are numbered as they are written: the item's own end is the last.
    const done = (): string => this.#event('response.output_item.done', { output_index: at, item: itemObject(item, status) });
    if (item.type === 'function_call') {
      const { id, name, arguments: json } = item;
      return this.#event('response.function_call_arguments.done', { item_id: id, output_index: at, name, arguments: json }) + done();
    }
    const where = { item_id: item.id, output_index: at, content_index: 0 };
    const text = this.#event('response.output_text.done', { ...where, text: item.text, logprobs: [] });
    return text + this.#event('response.content_part.done', { ...where, part: textPart(item.text) }) + done();
  }

  #event(type: string, fields: object): string {
    const data = JSON.stringify({ type, sequence_number: this.#sequence++, ...fields });
    return `event: ${type}\ndata: ${data}\n\n`;
  }
}

function usageObject({ promptTokens, completionTokens, cachedTokens }: ReplyUsage): object {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + completionTokens,
  };
}
