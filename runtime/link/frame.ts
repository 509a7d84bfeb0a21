import { LinkViolation } from './violation.ts';

/**
 * A frame is one message of the socket: a fixed header, then the body.
 *
 *     kind 1 | generation 4 | frame 4 | first 6 | ack 6 | body        (unsigned, big-endian)
 *
 * - `generation`: which connection of the peer this frame belongs to; frames of another one are ignored.
 * - `frame`: counts the frames of a connection from 1. The codec has state, so a repeated frame must not be decoded again.
 * - `first`: number of the first message in the body (`data` and `part`), else 0.
 * - `ack`: the sender of the frame has delivered everything up to this message. Every frame carries it.
 *
 * Kinds: `data` (a batch of messages; the last piece of one that came in parts), `part` (a piece, more follow), `ack`,
 * `ping` (answer with `pong`), `pong`, `close` (the session is over; the body is the reason in UTF-8).
 * Handshake frames (kinds from 16 on) have no header but the kind: see handshake.ts.
 */
export const KIND = { data: 1, part: 2, ack: 3, ping: 4, pong: 5, close: 6 } as const;
export type FrameKind = (typeof KIND)[keyof typeof KIND];

export interface Header {
  readonly kind: FrameKind;
  readonly generation: number;
  readonly frame: number;
  readonly first: number;
  readonly ack: number;
}

export const HEADER_BYTES = 21;
const LAST_KIND = KIND.close;
const HANDSHAKE_KINDS = 16;

export function writeFrame(header: Header, body: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt8(header.kind, 0);
  frame.writeUInt32BE(header.generation, 1);
  frame.writeUInt32BE(header.frame, 5);
  frame.writeUIntBE(header.first, 9, 6);
  frame.writeUIntBE(header.ack, 15, 6);
  frame.set(body, HEADER_BYTES);
  return frame;
}

/** The frame's header and body (a view). Throws `LinkViolation` for anything that is no frame of at most `maxBody` bytes of body. */
export function readFrame(data: Uint8Array, maxBody: number): { header: Header; body: Uint8Array } {
  if (data.length < HEADER_BYTES) throw new LinkViolation(`A frame of ${data.length} bytes is too short.`);
  if (data.length > HEADER_BYTES + maxBody)
    throw new LinkViolation(`A frame of ${data.length} bytes is over the limit of ${HEADER_BYTES + maxBody}.`);
  const view = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const kind = view.readUInt8(0);
  if (!isKind(kind)) throw new LinkViolation(`There is no frame of kind ${kind}.`);
  const header = {
    kind,
    generation: view.readUInt32BE(1),
    frame: view.readUInt32BE(5),
    first: view.readUIntBE(9, 6),
    ack: view.readUIntBE(15, 6),
  };
  return { header, body: view.subarray(HEADER_BYTES) };
}

/** A late or repeated frame of the handshake has no place in an open connection, but does no harm either. */
export function isHandshakeFrame(data: Uint8Array): boolean {
  return (data[0] ?? 0) >= HANDSHAKE_KINDS;
}

function isKind(kind: number): kind is FrameKind {
  return kind >= KIND.data && kind <= LAST_KIND;
}
