import { z } from 'zod';

import { createCodec } from './codec.ts';
import { BODY_BYTES, PREFIX_BYTES } from './large-message.ts';
import { MAX_DEPTH } from './message-size.ts';
import { LinkViolation } from './violation.ts';

/** What comes before a message's own nesting: the head's array. */
const MAX_PATH = MAX_DEPTH + 1;
const Path = z.array(z.union([z.string(), z.number().int().min(0)])).max(MAX_PATH);
const Head = z.tuple([z.unknown(), z.array(z.tuple([Path, z.number().int().min(BODY_BYTES)]))]);

/**
 * A large message while it is coming in, piece by piece: `large-message.ts` undone. Bodies are written where they stay; what a
 * peer can make it hold is the size that it announced, which is at most `limit` and has to fit the window.
 */
export class Assembly {
  /** Number of the message in its lane. */
  readonly number: number;
  /** Bytes of the whole run. */
  readonly total: number;
  /** Bytes that have come. */
  received = PREFIX_BYTES;
  #whole: unknown[] | undefined;
  /** Filled one after the other: the head, then the bodies. */
  #targets: Uint8Array[];
  #target = 0;
  #at = 0;

  /** From the first piece, which `add` must then be given without its first 8 bytes. Throws `LinkViolation`. */
  constructor(number: number, piece: Uint8Array, limit: number) {
    if (piece.length <= PREFIX_BYTES) throw new LinkViolation(`A large message starts with ${piece.length} bytes.`);
    const view = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    this.number = number;
    this.total = view.readUInt32BE(0);
    const head = view.readUInt32BE(4);
    if (this.total > limit) throw new LinkViolation(`A message of ${this.total} bytes is over the limit of ${limit}.`);
    if (head === 0 || PREFIX_BYTES + head > this.total) throw new LinkViolation(`A message of ${this.total} bytes has a head of ${head}.`);
    this.#targets = [new Uint8Array(head)];
  }

  /** Takes the next piece. Answers whether the message is whole. Throws `LinkViolation`. */
  add(piece: Uint8Array): boolean {
    if (piece.length === 0) throw new LinkViolation('A piece of a large message is empty.');
    this.received += piece.length;
    if (this.received > this.total) throw new LinkViolation(`A message of ${this.total} bytes has ${this.received}.`);
    let from = 0;
    while (from < piece.length) {
      const target = this.#targets[this.#target];
      if (target === undefined) throw new LinkViolation('A large message has more bytes than places for them.');
      const part = piece.subarray(from, from + target.length - this.#at);
      target.set(part, this.#at);
      this.#at += part.length;
      from += part.length;
      if (this.#at < target.length) break;
      if (this.#target === 0) this.#open(target);
      this.#target += 1;
      this.#at = 0;
    }
    return this.received === this.total;
  }

  /** The message. Only when it is whole. */
  get message(): unknown {
    return this.#whole?.[0];
  }

  #open(bytes: Uint8Array): void {
    const head = Head.safeParse(createCodec().decode(bytes));
    if (!head.success) throw new LinkViolation('The head of a large message is malformed.');
    const [message, places] = head.data;
    const sum = places.reduce((total, [, size]) => total + size, PREFIX_BYTES + bytes.length);
    if (sum !== this.total) throw new LinkViolation(`A large message of ${this.total} bytes has places for ${sum}.`);
    this.#whole = [message];
    for (const [path, size] of places) {
      const body = new Uint8Array(size);
      put(this.#whole, path, body);
      this.#targets.push(body);
    }
  }
}

/** Puts a body where the head has left a null for it, and nowhere else. */
function put(root: unknown[], path: readonly (string | number)[], body: Uint8Array): void {
  let holder: unknown = root;
  for (const key of path.slice(0, -1)) holder = field(holder, key);
  const last = path.at(-1);
  if (last === undefined || field(holder, last) !== null) throw new LinkViolation('A large message has no place for a body.');
  (holder as Record<string | number, unknown>)[last] = body;
}

function field(holder: unknown, key: string | number): unknown {
  const fits = Array.isArray(holder) ? typeof key === 'number' : typeof key === 'string';
  if (typeof holder !== 'object' || holder === null || holder instanceof Uint8Array || !fits || !Object.hasOwn(holder, key))
    throw new LinkViolation('A large message names a place that is not there.');
  return (holder as Record<string | number, unknown>)[key];
}
