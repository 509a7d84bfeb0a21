import { GridError } from '#runtime/errors.ts';

/** Deepest nesting of a message, on both ends. Also ends the walk through a message that contains itself. */
export const MAX_DEPTH = 32;
/** MessagePack's short maps end here; anything larger is a table and belongs into an object of the store. */
const MAX_KEYS = 0xffff;
/** Names that the codec's record tables cannot hold. */
const RESERVED = new Set(['__proto__', '__keys__']);

/**
 * How many bytes a message takes at most once it is encoded: the walk costs about half of the encoding, and spares
 * the outbox from encoding at `send` what a resume would have to encode again.
 *
 * Throws `GridError`: `TOO_LARGE` over `limit` bytes; `INTERNAL` for what the link does not carry. It carries plain objects,
 * arrays, strings, numbers, booleans, null, undefined and Uint8Array, nested at most 32 deep, and takes them as they
 * are: -0 arrives as 0 and a lone surrogate as U+FFFD.
 */
export function messageSize(message: unknown, limit: number): number {
  let total = 0;

  const add = (bytes: number): void => {
    total += bytes;
    if (total > limit)
      throw new GridError('TOO_LARGE', `A message for the link has more than ${limit} bytes.`, {
        fix: 'Send large bodies through the object store.',
      });
  };
  const walk = (value: unknown, depth: number, key: string): void => {
    if (typeof value === 'string') return add(textSize(value));
    if (typeof value === 'number') return add(9);
    if (value === undefined) return add(3);
    if (value === null || typeof value === 'boolean') return add(1);
    if (depth >= MAX_DEPTH) throw unsupported(`nesting deeper than ${MAX_DEPTH}`, key);
    if (value instanceof Uint8Array) return add(5 + value.byteLength);
    if (Array.isArray(value)) {
      add(5);
      for (const element of value as unknown[]) walk(element, depth + 1, key);
      return;
    }
    if (!isPlain(value)) throw unsupported(nameOf(value), key);
    // A record's definition and its reference, or a map's header: 8 bytes cover either.
    add(8);
    const keys = Object.keys(value);
    if (keys.length > MAX_KEYS) throw unsupported(`an object of ${keys.length} keys`, key);
    for (const name of keys) {
      if (RESERVED.has(name)) throw unsupported(`the reserved key ${name}`, key);
      add(textSize(name));
      walk(value[name], depth + 1, name);
    }
  };
  walk(message, 0, '');
  return total;
}

/** Header and UTF-8 bytes. For short strings three times the length is near enough and cheaper than looking at them. */
function textSize(text: string): number {
  return text.length < 12 ? 3 + text.length * 3 : 5 + Buffer.byteLength(text);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function nameOf(value: unknown): string {
  return typeof value === 'object' ? `an instance of ${value?.constructor.name ?? 'an unnamed class'}` : `a ${typeof value}`;
}

function unsupported(what: string, key: string): GridError {
  const where = key === '' ? '' : ` below the key ${JSON.stringify(key)}`;
  return new GridError('INTERNAL', `The link does not carry ${what}${where}.`, key === '' ? {} : { path: key });
}
