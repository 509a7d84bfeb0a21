import { MAX_DEPTH } from './message-size.ts';
import { LinkViolation } from './violation.ts';

/**
 * Looks through encoded bytes before the decoder may touch them, so that hostile bytes reach neither its extensions
 * (regular expressions, errors, references, typed arrays) nor its allocations.
 *
 * Accepts the part of MessagePack that `codec.ts` writes: https://github.com/msgpack/msgpack/blob/master/spec.md without
 * extensions, 64-bit integers and 32-bit floats, plus msgpackr's two additions: `d4 72 id keys values` defines record `id`
 * and is its first use; a byte 0x40-0x7f is the record of that id, followed by its values only.
 */

/** What a connection's record table may hold: 64 definitions of up to 64 keys, each up to 192 bytes. Under 1 MiB in all. */
export const MAX_RECORD_KEYS = 64;
export const MAX_RECORD_KEY_BYTES = 192;
/** Most values in one batch. An empty object is one byte here and about 60 in memory: this bounds the difference. */
export const MAX_VALUES = 1_000_000;
/** The batch is an array around the messages. */
const MAX_BATCH_DEPTH = MAX_DEPTH + 1;

/** Throws `LinkViolation` when the bytes are not exactly one well-formed value within the bounds. Keeps the record table of one connection. */
export type Audit = (bytes: Uint8Array) => void;

export function createAudit(): Audit {
  const keyCounts: (number | undefined)[] = [];
  let bytes: Uint8Array = new Uint8Array(0);
  let position = 0;
  let values = 0;

  const unsigned = (width: 1 | 2 | 4): number => {
    let value = 0;
    for (let i = 0; i < width; i++) {
      const byte = bytes[position++];
      if (byte === undefined) throw truncated();
      value = value * 256 + byte;
    }
    return value;
  };
  const skip = (count: number): void => {
    position += count;
    if (position > bytes.length) throw truncated();
  };
  /** Length of the string whose first byte was `token`; undefined when it is none. */
  const textLength = (token: number): number | undefined => {
    if (token >= 0xa0 && token <= 0xbf) return token - 0xa0;
    if (token === 0xd9) return unsigned(1);
    if (token === 0xda) return unsigned(2);
    return token === 0xdb ? unsigned(4) : undefined;
  };
  const key = (): number => {
    const length = textLength(unsigned(1));
    if (length === undefined) throw new LinkViolation('A key is not a string.');
    skip(length);
    return length;
  };
  const many = (count: number, depth: number): void => {
    if (count > bytes.length - position) throw truncated();
    for (let i = 0; i < count; i++) value(depth + 1);
  };
  const map = (count: number, depth: number): void => {
    if (count * 2 > bytes.length - position) throw truncated();
    for (let i = 0; i < count; i++) {
      key();
      value(depth + 1);
    }
  };
  const definition = (depth: number): void => {
    const id = unsigned(1);
    if (id < 0x40 || id > 0x7f) throw new LinkViolation(`A record has the id ${id}.`);
    const token = unsigned(1);
    const count = token >= 0x90 && token <= 0x9f ? token - 0x90 : token === 0xdc ? unsigned(2) : MAX_RECORD_KEYS + 1;
    if (count > MAX_RECORD_KEYS) throw new LinkViolation('A record has too many keys.');
    for (let i = 0; i < count; i++) if (key() > MAX_RECORD_KEY_BYTES) throw new LinkViolation('A record has a key that is too long.');
    keyCounts[id] = count;
    many(count, depth);
  };
  const record = (id: number, depth: number): void => {
    const count = keyCounts[id];
    if (count === undefined) throw new LinkViolation(`Record ${id} was never defined.`);
    many(count, depth);
  };
  const value = (depth: number): void => {
    if (depth > MAX_BATCH_DEPTH) throw new LinkViolation(`A value is nested deeper than ${MAX_BATCH_DEPTH}.`);
    values += 1;
    if (values > MAX_VALUES) throw new LinkViolation(`A batch has more than ${MAX_VALUES} values.`);
    const token = unsigned(1);
    if (token < 0x40 || token >= 0xe0) return;
    if (token < 0x80) return record(token, depth);
    if (token < 0x90) return map(token - 0x80, depth);
    if (token < 0xa0) return many(token - 0x90, depth);
    const length = textLength(token);
    if (length !== undefined) return skip(length);
    switch (token) {
      case 0xc0: // null
      case 0xc2: // false
      case 0xc3: // true
        return;
      case 0xc4:
        return skip(unsigned(1));
      case 0xc5:
        return skip(unsigned(2));
      case 0xc6:
        return skip(unsigned(4));
      case 0xcb:
        return skip(8);
      case 0xcc:
      case 0xd0:
        return skip(1);
      case 0xcd:
      case 0xd1:
        return skip(2);
      case 0xce:
      case 0xd2:
        return skip(4);
      case 0xd4: {
        const type = unsigned(1);
        if (type === 0x72) return definition(depth);
        if (type === 0) return skip(1); // undefined
        throw new LinkViolation(`Extension ${type} is not allowed.`);
      }
      case 0xdc:
        return many(unsigned(2), depth);
      case 0xdd:
        return many(unsigned(4), depth);
      case 0xde:
        return map(unsigned(2), depth);
      case 0xdf:
        return map(unsigned(4), depth);
      default:
        throw new LinkViolation(`A value starts with the byte 0x${token.toString(16)}, which is not allowed.`);
    }
  };

  return (input) => {
    bytes = input;
    position = 0;
    values = 0;
    try {
      value(0);
      if (position !== bytes.length) throw new LinkViolation(`${bytes.length - position} bytes follow the value.`);
    } finally {
      bytes = new Uint8Array(0);
    }
  };
}

function truncated(): LinkViolation {
  return new LinkViolation('The bytes end in the middle of a value.');
}
