import { createCodec } from './codec.ts';
import { LinkViolation } from './violation.ts';

/**
 * A message that is too large for a frame, as a run of bytes that any number of connections can carry one after the other:
 *
 *     total 4 | head 4 | head's bytes | bodies, one after the other          (unsigned, big-endian)
 *
 * The head is one MessagePack value that stands alone: `[message, places]`, where the message has null in place of its large
 * byte arrays, and `places` says where each belongs and how long it is. So a body is never encoded, copied or looked at as
 * a whole: it is sent from where it lies in the sender's memory, and put where it stays in the receiver's.
 * The same message gives the same bytes every time, which is what lets a resume go on in the middle.
 */

/** Byte arrays from this size on travel outside of the head. */
export const BODY_BYTES = 16 * 1024;
export const PREFIX_BYTES = 8;

export type Place = readonly [path: readonly (string | number)[], bytes: number];

/** Gives out a large message piece by piece. */
export interface LargeMessage {
  readonly done: boolean;
  /** The next piece, a view of at most `most` bytes. Not to be called when done. */
  read(most: number): Uint8Array;
}

/** The message's bytes from `offset` on. Throws `LinkViolation` when the peer cannot have that many of it. */
export function openLargeMessage(message: unknown, offset: number): LargeMessage {
  const bodies: Uint8Array[] = [];
  const places: Place[] = [];
  const head = createCodec().encode([detach(message, [0], bodies, places), places]);
  const total = bodies.reduce((sum, body) => sum + body.length, PREFIX_BYTES + head.length);
  if (offset >= total) throw new LinkViolation(`The peer claims ${offset} bytes of a message that has ${total}.`);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(total, 0);
  prefix.writeUInt32BE(head.length, 4);
  const segments: Uint8Array[] = [Buffer.concat([prefix, head]), ...bodies];
  let segment = 0;
  let at = 0;

  function skip(bytes: number): void {
    let left = bytes;
    while (segment < segments.length) {
      const rest = (segments[segment]?.length ?? 0) - at;
      if (left < rest) {
        at += left;
        return;
      }
      left -= rest;
      segment += 1;
      at = 0;
    }
  }

  skip(offset);
  return {
    get done() {
      return segment === segments.length;
    },
    read(most) {
      const piece = (segments[segment] ?? prefix).subarray(at, at + most);
      skip(piece.length);
      return piece;
    },
  };
}

/** The message without its large byte arrays; what holds one is copied, the rest is shared. `path` is the way to the value. */
function detach(value: unknown, path: (string | number)[], bodies: Uint8Array[], places: Place[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) {
    if (value.length < BODY_BYTES) return value;
    bodies.push(value);
    places.push([[...path], value.length]);
    return null;
  }
  let copy: Record<string | number, unknown> | undefined;
  for (const key of Array.isArray(value) ? value.keys() : Object.keys(value)) {
    const field = (value as Record<string | number, unknown>)[key];
    path.push(key);
    const rest = detach(field, path, bodies, places);
    path.pop();
    if (rest === field) continue;
    copy ??= (Array.isArray(value) ? [...(value as unknown[])] : { ...value }) as Record<string | number, unknown>;
    copy[key] = rest;
  }
  return copy ?? value;
}
