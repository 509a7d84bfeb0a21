/**
 * A small SentencePiece-like vocabulary of our own: controls, the 256 bytes, and some pieces of English.
 * Every text can be written with it (bytes are the last resort), and nothing in it is anybody else's.
 */

/** Token types as llama.cpp numbers them. */
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const BYTE = 6;

export const UNKNOWN_TOKEN = 0;
export const BEGIN_TOKEN = 1;
export const END_TOKEN = 2;
/** Token id of byte 0; byte b is `FIRST_BYTE_TOKEN + b`. */
export const FIRST_BYTE_TOKEN = 5;
export const FIRST_PIECE_TOKEN = FIRST_BYTE_TOKEN + 256;

const WORDS = [
  'the', 'a', 'one', 'day', 'little', 'fox', 'ran', 'to', 'old', 'river', 'and', 'saw', 'big', 'tree', 'with', 'red', 'leaves', 'it', 'was',
  'very', 'happy', 'then', 'friend', 'came', 'they', 'played', 'until', 'night', 'under', 'bright', 'stars', 'of', 'winter', 'sky', 'grid',
  'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten',
]; // prettier-ignore

const SPACE = '\u2581';

export interface Vocabulary {
  readonly tokens: readonly string[];
  readonly scores: readonly number[];
  readonly types: readonly number[];
}

function pieces(): string[] {
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?:;\'"-'.split('');
  return [SPACE, ...letters, ...WORDS.map((word) => SPACE + word)];
}

/** Always the same 381 tokens. */
export function tinyVocabulary(): Vocabulary {
  const tokens = ['<unk>', '<s>', '</s>', '<|im_start|>', '<|im_end|>'];
  const types = [UNKNOWN, CONTROL, CONTROL, CONTROL, CONTROL];
  for (let byte = 0; byte < 256; byte++) {
    tokens.push(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    types.push(BYTE);
  }
  const own = pieces();
  tokens.push(...own);
  types.push(...own.map(() => NORMAL));
  // A piece's score says how eagerly the tokenizer merges towards it: earlier pieces win.
  const scores = tokens.map((_, id) => (id < FIRST_PIECE_TOKEN ? 0 : FIRST_PIECE_TOKEN - id - 1));
  return { tokens, scores, types };
}

/**
 * The tokens that spell a text: a word of the vocabulary after a space, else a character, else its bytes.
 * Not the tokenizer's own choice, but the same text when written out.
 */
export function spell(text: string): number[] {
  const { tokens } = tinyVocabulary();
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const ids: number[] = [];
  for (const part of text.match(/ [a-z]+|./gsu) ?? []) {
    const whole = idOf.get(part.replaceAll(' ', SPACE));
    if (whole !== undefined && whole >= FIRST_PIECE_TOKEN) {
      ids.push(whole);
      continue;
    }
    for (const character of part) {
      const piece = idOf.get(character.replaceAll(' ', SPACE));
      if (piece !== undefined && piece >= FIRST_PIECE_TOKEN) ids.push(piece);
      else for (const byte of Buffer.from(character, 'utf8')) ids.push(FIRST_BYTE_TOKEN + byte);
    }
  }
  return ids;
}
