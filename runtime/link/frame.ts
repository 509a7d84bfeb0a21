import { LANES, type Lane } from './lane.ts';
import { FIRST_VERSION } from './version.ts';
import { LinkViolation } from './violation.ts';

/**
 * A frame is one message of the socket: a fixed header, then the body. All numbers are unsigned and big-endian.
 *
 *     version 1:   kind 1 | generation 4 | frame 4 | first 6 | ack 6 | body
 *     version 2:   kind 1 | lane 1 | generation 4 | frame 4 | heard 4 | first 6 | control ack 6 | ack 6 | body
 *
 * - `lane`: 0 control, 1 data; 1 where there is no message in the frame. Version 1 knows the data lane only.
 * - `generation`: which connection of the peer this frame belongs to; frames of another one are ignored.
 * - `frame`: counts the frames of a connection from 1. The codec has state, so a repeated frame must not be decoded again.
 * - `heard`: number of the last frame that the sender of this one has heard on this connection. It paces large bodies.
 * - `first`: number of the first message in the body (`data` and `part`), else 0.
 * - `ack`: the sender of the frame has consumed everything up to this message of the lane. Every frame carries it.
 *
 * Kinds: `data` (a batch of messages; in version 1 also the last piece of one that came in parts), `part` (a piece of a large
 * message), `ack`, `ping` (answer with `pong`), `pong`, `close` (the session is over; the body is the reason in UTF-8).
 * Handshake frames (kinds from 16 on) have no header but the kind: see handshake.ts.
 */
export const KIND = { data: 1, part: 2, ack: 3, ping: 4, pong: 5, close: 6 } as const;
export type FrameKind = (typeof KIND)[keyof typeof KIND];

export interface Header {
  readonly kind: FrameKind;
  readonly lane: Lane;
  readonly generation: number;
  readonly frame: number;
  readonly heard: number;
  readonly first: number;
  readonly controlAck: number;
  readonly ack: number;
}

const LAST_KIND = KIND.close;
const HANDSHAKE_KINDS = 16;

/** How frames are laid out in one version of the wire. */
export interface FrameLayout {
  readonly headerBytes: number;
  /** `allocate` gives the bytes to write into: exactly as many as it is asked for. */
  write(header: Header, body: Uint8Array, allocate?: (bytes: number) => Buffer): Buffer;
  /** The frame's header and body (a view). Throws `LinkViolation` for anything that is no frame of at most `maxBody` bytes of body. */
  read(data: Uint8Array, maxBody: number): { header: Header; body: Uint8Array };
}

const FIRST_HEADER_BYTES = 21;
const SECOND_HEADER_BYTES = 32;
export const MAX_HEADER_BYTES = SECOND_HEADER_BYTES;

const fresh = (bytes: number): Buffer => Buffer.allocUnsafe(bytes);

const first: FrameLayout = {
  headerBytes: FIRST_HEADER_BYTES,
  write(header, body, allocate = fresh) {
    const frame = allocate(FIRST_HEADER_BYTES + body.length);
    frame.writeUInt8(header.kind, 0);
    frame.writeUInt32BE(header.generation, 1);
    frame.writeUInt32BE(header.frame, 5);
    frame.writeUIntBE(header.first, 9, 6);
    frame.writeUIntBE(header.ack, 15, 6);
    frame.set(body, FIRST_HEADER_BYTES);
    return frame;
  },
  read(data, maxBody) {
    const { view, kind } = open(data, FIRST_HEADER_BYTES, maxBody);
    const header: Header = {
      kind,
      lane: 'data',
      generation: view.readUInt32BE(1),
      frame: view.readUInt32BE(5),
      heard: 0,
      first: view.readUIntBE(9, 6),
      controlAck: 0,
      ack: view.readUIntBE(15, 6),
    };
    return { header, body: view.subarray(FIRST_HEADER_BYTES) };
  },
};

const second: FrameLayout = {
  headerBytes: SECOND_HEADER_BYTES,
  write(header, body, allocate = fresh) {
    const frame = allocate(SECOND_HEADER_BYTES + body.length);
    frame.writeUInt8(header.kind, 0);
    frame.writeUInt8(header.lane === 'control' ? 0 : 1, 1);
    frame.writeUInt32BE(header.generation, 2);
    frame.writeUInt32BE(header.frame, 6);
    frame.writeUInt32BE(header.heard, 10);
    frame.writeUIntBE(header.first, 14, 6);
    frame.writeUIntBE(header.controlAck, 20, 6);
    frame.writeUIntBE(header.ack, 26, 6);
    frame.set(body, SECOND_HEADER_BYTES);
    return frame;
  },
  read(data, maxBody) {
    const { view, kind } = open(data, SECOND_HEADER_BYTES, maxBody);
    const lane = LANES[view.readUInt8(1)];
    if (lane === undefined) throw new LinkViolation(`There is no lane ${view.readUInt8(1)}.`);
    const header: Header = {
      kind,
      lane,
      generation: view.readUInt32BE(2),
      frame: view.readUInt32BE(6),
      heard: view.readUInt32BE(10),
      first: view.readUIntBE(14, 6),
      controlAck: view.readUIntBE(20, 6),
      ack: view.readUIntBE(26, 6),
    };
    return { header, body: view.subarray(SECOND_HEADER_BYTES) };
  },
};

/** The layout of that version of the wire. */
export function frameLayout(version: number): FrameLayout {
  return version === FIRST_VERSION ? first : second;
}

function open(data: Uint8Array, headerBytes: number, maxBody: number): { view: Buffer; kind: FrameKind } {
  if (data.length < headerBytes) throw new LinkViolation(`A frame of ${data.length} bytes is too short.`);
  if (data.length > headerBytes + maxBody)
    throw new LinkViolation(`A frame of ${data.length} bytes is over the limit of ${headerBytes + maxBody}.`);
  const view = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const kind = view.readUInt8(0);
  if (!isKind(kind)) throw new LinkViolation(`There is no frame of kind ${kind}.`);
  return { view, kind };
}

/** A late or repeated frame of the handshake has no place in an open connection, but does no harm either. */
export function isHandshakeFrame(data: Uint8Array): boolean {
  return (data[0] ?? 0) >= HANDSHAKE_KINDS;
}

function isKind(kind: number): kind is FrameKind {
  return kind >= KIND.data && kind <= LAST_KIND;
}
