/**
 * The bytes that a token stands for, read from its piece in the vocabulary. The engine's own way back to text is of no use here: it
 * drops the space in front of a first word and shows U+FFFD for a part of a character.
 *
 * SentencePiece writes a space as U+2581 and single bytes as `<0x0A>`. Byte-level BPE writes each byte as a character of its own: printable
 * ones as themselves, the others as U+0100 and up in their order (`bytes_to_unicode` of GPT-2).
 */

const SINGLE_BYTE = /^<0x([0-9A-F]{2})>$/;
const SPACE = /\u2581/g;
const encoder = new TextEncoder();

/** @returns null for a vocabulary of another kind */
export function bytesOfPiece(piece: string, kind: string | undefined): Uint8Array | null {
  if (kind === 'llama') {
    const byte = SINGLE_BYTE.exec(piece)?.[1];
    return byte === undefined ? encoder.encode(piece.replace(SPACE, ' ')) : Uint8Array.of(Number.parseInt(byte, 16));
  }
  if (kind !== 'gpt2') return null;
  const bytes = Array.from(piece, (character) => BYTE_OF.get(character));
  // A special token's piece is plain text.
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : encoder.encode(piece);
}

const BYTE_OF = byteCharacters();

function byteCharacters(): ReadonlyMap<string, number> {
  const map = new Map<string, number>();
  let others = 0;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    map.set(String.fromCodePoint(printable ? byte : 0x100 + others++), byte);
  }
  return map;
}
