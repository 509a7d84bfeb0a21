import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createTextDecoder } from '#agent/executors/inference/text-decoder.ts';

/** Tokens that are bytes, or one of these longer ones, as vocabularies of either kind have them. */
const PIECES = ['hello', ' 世', 'é', '\u{1F600}x', 'a\u00e9'].map((text) => Buffer.from(text));
const CUTTING = [Buffer.from([0x82, 0xac, 0xe2]), Buffer.from([0x98, 0x80, 0xf0, 0x9f]), Buffer.from([0x61, 0xe2, 0x82])];
const TOKENS: Buffer[] = [...Array.from({ length: 256 }, (_, byte) => Buffer.from([byte])), ...PIECES, ...CUTTING];

const bytesOf = (ids: readonly number[]): Buffer => Buffer.concat(ids.map((id) => TOKENS[id] ?? Buffer.alloc(0)));
const detokenize = (ids: readonly number[]): string => bytesOf(ids).toString('utf8');

function decode(ids: readonly number[]): string[] {
  const decoder = createTextDecoder(detokenize);
  return [...ids.map((id) => decoder.push(id)), decoder.end()];
}

describe('the text decoder', () => {
  it('waits for the whole character', () => {
    expect(decode([0xf0, 0x9f, 0x98, 0x80, 0x21])).toEqual(['', '', '', '\u{1F600}', '!', '']);
  });

  it('shows a wrong byte once it is sure of it', () => {
    expect(decode([0x80, 0x41])).toEqual(['', '\uFFFDA', '']);
    expect(decode([0xe2, 0x82])).toEqual(['', '', '\uFFFD']);
  });

  it('writes the same text as all tokens at once, and never half a character', () => {
    const byte = fc.integer({ min: 0, max: TOKENS.length - 1 });
    const text = fc.string({ unit: 'grapheme' }).map((value) => [...Buffer.from(value)]);
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            byte.map((id) => [id]),
            text,
          ),
          { maxLength: 60 },
        ),
        (parts) => {
          const ids = parts.flat();
          const pieces = decode(ids);
          expect(pieces.join('')).toBe(detokenize(ids));
          for (const piece of pieces) expect(piece.isWellFormed()).toBe(true);
        },
      ),
      { numRuns: 1000, seed: 20260102 },
    );
  });

  it('keeps up with a model that babbles bytes', () => {
    let longest = 0;
    const decoder = createTextDecoder((ids) => {
      longest = Math.max(longest, ids.length);
      return detokenize(ids);
    });
    const ids = Array.from({ length: 5000 }, (_, i) => 0x80 + (i % 64));
    const text = ids.map((id) => decoder.push(id)).join('') + decoder.end();
    expect(text).toBe(detokenize(ids));
    expect(longest).toBeLessThanOrEqual(32);
  });
});
