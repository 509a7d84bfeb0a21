import { CALL_OPEN } from '#actors/contract/tool-text.ts';

/** What an answer's text turns out to be, piece by piece. */
export type AnswerPart =
  | { readonly type: 'content'; readonly text: string }
  | { readonly type: 'call'; readonly index: number; readonly name: string }
  | { readonly type: 'arguments'; readonly index: number; readonly text: string };

const MARK = CALL_OPEN.trimEnd();
const HEAD = /^\s*\{\s*"name":\s*("(?:[^"\\]|\\.){1,200}")\s*,\s*"arguments":\s*/;
const TAIL = /^\s*\}\s*<\/tool_call>\s*/;
/** Longer than any head or tail that is still one. */
const PATIENCE = 400;

/**
 * Finds tool calls (contract/tool-text.ts) in text that arrives in pieces of any size; the parts joined are the same for every way to cut
 * it. What looks like a call and is none stays text.
 */
export class ToolCallReader {
  #state: 'text' | 'head' | 'arguments' | 'tail' = 'text';
  #held = '';
  #calls = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** Calls whose arguments came to their end. */
  complete = 0;

  push(text: string): AnswerPart[] {
    this.#held += text;
    const parts: AnswerPart[] = [];
    while (this.#step(parts));
    return parts;
  }

  /** What was held back, as nothing follows. */
  end(): AnswerPart[] {
    const rest = this.#state === 'head' ? MARK + this.#held : this.#state === 'text' ? this.#held : '';
    const begun = this.#state === 'head';
    this.#held = '';
    // Line breaks between calls are no content, and neither is a call behind others that the answer's limit cut off before its name.
    return rest === '' || (this.#calls > 0 && (begun || rest.trim() === '')) ? [] : [{ type: 'content', text: rest }];
  }

  /** True when there may be more to find in what is held. */
  #step(parts: AnswerPart[]): boolean {
    if (this.#held === '') return false;
    if (this.#state === 'text') return this.#readText(parts);
    if (this.#state === 'head') return this.#readHead(parts);
    if (this.#state === 'arguments') return this.#readArguments(parts);
    return this.#readTail(parts);
  }

  #readText(parts: AnswerPart[]): boolean {
    const at = this.#held.indexOf(MARK);
    const settled = at >= 0 ? at : this.#held.length - overlap(this.#held, MARK);
    const text = this.#held.slice(0, settled);
    if (text !== '' && !(this.#calls > 0 && text.trim() === '')) parts.push({ type: 'content', text });
    this.#held = this.#held.slice(at >= 0 ? at + MARK.length : settled);
    if (at >= 0) this.#state = 'head';
    return at >= 0;
  }

  #readHead(parts: AnswerPart[]): boolean {
    const head = HEAD.exec(this.#held);
    const name = head?.[1];
    if (head === null || name === undefined) {
      if (this.#held.length < PATIENCE) return false;
      parts.push({ type: 'content', text: MARK });
      this.#state = 'text';
      return true;
    }
    // The expression swallows all spaces behind the colon, of which more may come.
    if (head[0].length === this.#held.length) return false;
    this.#held = this.#held.slice(head[0].length);
    parts.push({ type: 'call', index: this.#calls, name: JSON.parse(name) as string });
    this.#calls += 1;
    this.#depth = 0;
    this.#inString = false;
    this.#state = 'arguments';
    return true;
  }

  #readArguments(parts: AnswerPart[]): boolean {
    let end = 0;
    let over = false;
    for (const char of this.#held) {
      // A closing brace at the top belongs to the call around a bare value.
      if (!this.#inString && this.#depth === 0 && char === '}') {
        over = true;
        break;
      }
      end += char.length;
      if (this.#escaped) this.#escaped = false;
      else if (this.#inString) {
        if (char === '\\') this.#escaped = true;
        else if (char === '"') this.#inString = false;
      } else if (char === '"') this.#inString = true;
      else if (char === '{' || char === '[') this.#depth += 1;
      else if (char === '}' || char === ']') {
        this.#depth -= 1;
        over = this.#depth === 0;
        if (over) break;
      }
    }
    const text = this.#held.slice(0, end);
    if (text !== '') parts.push({ type: 'arguments', index: this.#calls - 1, text });
    this.#held = this.#held.slice(end);
    if (over) {
      this.complete += 1;
      this.#state = 'tail';
    }
    return over;
  }

  #readTail(parts: AnswerPart[]): boolean {
    const tail = TAIL.exec(this.#held);
    if (tail === null) {
      if (this.#held.length < PATIENCE) return false;
      parts.push({ type: 'content', text: this.#held });
      this.#held = '';
    } else this.#held = this.#held.slice(tail[0].length);
    this.#state = 'text';
    return true;
  }
}

/** Length of the longest end of `text` that `mark` could begin with. */
function overlap(text: string, mark: string): number {
  for (let length = Math.min(text.length, mark.length - 1); length > 0; length--) if (text.endsWith(mark.slice(0, length))) return length;
  return 0;
}
