import type { TokenLogprob } from '#actors/contract/generation.ts';

import type { AnswerHead, Usage } from './chunks.ts';

/** The objects of OpenAI's older text completions. */

const utf8 = new TextDecoder();

interface TextLogprobs {
  readonly tokens: string[];
  readonly token_logprobs: number[];
  readonly top_logprobs: Record<string, number>[];
  readonly text_offset: number[];
}

/** @param offset of the first token's text in the answer */
function textLogprobs(tokens: readonly TokenLogprob[], offset: number): TextLogprobs {
  const all: TextLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  let at = offset;
  for (const { logprob, bytes, top } of tokens) {
    const text = utf8.decode(bytes);
    all.tokens.push(text);
    all.token_logprobs.push(Math.max(logprob, -9999));
    all.top_logprobs.push(Object.fromEntries(top.map((other) => [utf8.decode(other.bytes), Math.max(other.logprob, -9999)])));
    all.text_offset.push(at);
    at += text.length;
  }
  return all;
}

export class TextChoice {
  readonly #index: number;
  readonly #logprobs: TokenLogprob[] | null;
  readonly #echo: number;
  #text: string;
  #finish: 'stop' | 'length' | null = null;
  #sent = 0;

  constructor(index: number, { logprobs, echo }: { logprobs: boolean; echo: string }) {
    this.#index = index;
    this.#logprobs = logprobs ? [] : null;
    this.#text = echo;
    this.#echo = echo.length;
  }

  text(text: string, logprobs: readonly TokenLogprob[]): void {
    this.#text += text;
    if (this.#logprobs !== null) for (const token of logprobs) this.#logprobs.push(token);
  }

  finished(reason: 'stop' | 'length'): void {
    this.#finish = reason;
  }

  toJSON(): object {
    const logprobs = this.#logprobs === null ? null : textLogprobs(this.#logprobs, this.#echo);
    return { text: this.#text, index: this.#index, logprobs, finish_reason: this.#finish };
  }

  /** What came since the last piece. */
  piece(): object {
    const logprobs = this.#logprobs === null ? null : textLogprobs(this.#logprobs.splice(0), this.#sent);
    const text = this.#text.slice(this.#sent);
    this.#sent = this.#text.length;
    return { text, index: this.#index, logprobs, finish_reason: this.#finish };
  }
}

export function textCompletion({ id, created, model }: AnswerHead, choices: readonly object[], usage: Usage | null | undefined): object {
  const head = { id, object: 'text_completion', created, model, choices };
  return usage === undefined ? head : { ...head, usage };
}
