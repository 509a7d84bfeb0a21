/**
 * Turns tokens into text without ever cutting a character in two.
 *
 * A token may hold a part of a UTF-8 sequence only. The engine then writes U+FFFD for it, which is also what it writes for
 * bytes that are wrong for good. An unfinished sequence is always one U+FFFD at the very end, and all before it is settled;
 * so everything but a last U+FFFD is handed out, and that one waits for the next token or the end.
 */
const REPLACEMENT = '\uFFFD';

/** An unfinished sequence spans at most this many tokens: it has three bytes at most, and a token one at least. */
const TAIL = 4;
const COMPACT_AT = 32;

export interface TextDecoder {
  /** The text that this token settles; often empty in the middle of a character. */
  push(token: number): string;
  /** What was held back, as the generation is over. */
  end(): string;
}

/** @param detokenize the text of some tokens that follow on others, special tokens left out */
export function createTextDecoder(detokenize: (tokens: readonly number[], after: readonly number[]) => string): TextDecoder {
  let before: number[] = [];
  let pending: number[] = [];
  let handedOut = 0;

  function settle(text: string, upTo: number): string {
    const settled = text.slice(handedOut, upTo);
    handedOut = Math.max(handedOut, upTo);
    return settled;
  }

  function forget(count: number): void {
    before = [...before, ...pending.slice(0, count)].slice(-TAIL);
    pending = pending.slice(count);
  }

  return {
    push(token) {
      pending.push(token);
      const text = detokenize(pending, before);
      if (!text.endsWith(REPLACEMENT)) {
        const settled = settle(text, text.length);
        forget(pending.length);
        handedOut = 0;
        return settled;
      }
      const settled = settle(text, text.length - 1);
      if (pending.length >= COMPACT_AT) {
        // Without this a model that babbles bytes would be decoded anew from its first one, over and over.
        pending = pending.slice(-TAIL);
        before = [];
        handedOut = Math.max(0, detokenize(pending, before).length - 1);
      }
      return settled;
    },
    end() {
      const text = pending.length === 0 ? '' : detokenize(pending, before);
      const rest = settle(text, text.length);
      pending = [];
      handedOut = 0;
      return rest;
    },
  };
}
