import { Assembly } from './assembly.ts';
import { createCodec } from './codec.ts';
import { KIND, type FrameKind } from './frame.ts';
import type { Inbox } from './inbox.ts';
import { BATCH_SLACK } from './lane-writer.ts';
import { PREFIX_BYTES } from './large-message.ts';
import { MIN_PART_BYTES, type LinkLimits } from './limits.ts';
import { FIRST_VERSION } from './version.ts';
import { LinkViolation } from './violation.ts';

/** Consecutive messages that arrived: the first has the number `first`. */
export interface Arrived {
  readonly first: number;
  readonly messages: readonly unknown[];
  /** As they came, encoded. */
  readonly bytes: number;
}

/** Turns the frames of one connection into messages of one lane. Throws `LinkViolation` for what no honest writer sends. */
export interface LaneReader {
  /** What a `data` or `part` frame completes; undefined when more has to follow. */
  read(kind: FrameKind, first: number, body: Uint8Array): Arrived | undefined;
}

export function createLaneReader(version: number, inbox: Inbox, limits: LinkLimits): LaneReader {
  return version === FIRST_VERSION ? partsReader(limits) : piecesReader(inbox, limits);
}

function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw new LinkViolation('The body of a frame is not a list of messages.');
  return value as unknown[];
}

function partsReader({ messageBytes }: LinkLimits): LaneReader {
  const codec = createCodec();
  let parts: Uint8Array[] = [];
  let partsBytes = 0;

  function keep(body: Uint8Array): void {
    partsBytes += body.length;
    if (partsBytes > messageBytes + BATCH_SLACK) throw new LinkViolation(`A message has more than ${messageBytes} bytes.`);
    parts.push(body);
  }

  return {
    read(kind, first, body) {
      if (kind === KIND.part) {
        if (body.length < MIN_PART_BYTES) throw new LinkViolation(`A part of ${body.length} bytes is too small.`);
        keep(body);
        return undefined;
      }
      let whole = body;
      if (parts.length > 0) {
        keep(body);
        whole = Buffer.concat(parts);
        parts = [];
        partsBytes = 0;
      }
      return { first, messages: listOf(codec.decode(whole)), bytes: whole.length };
    },
  };
}

function piecesReader(inbox: Inbox, limits: LinkLimits): LaneReader {
  const codec = createCodec();
  // Two estimates of the same message, and the table of its bodies, may differ by this much.
  const most = limits.messageBytes + limits.frameBytes;

  function piece(first: number, body: Uint8Array): Arrived | undefined {
    let { assembly } = inbox;
    let bytes = body;
    if (assembly === undefined) {
      assembly = new Assembly(first, body, most);
      inbox.admit(1, assembly.total);
      bytes = body.subarray(PREFIX_BYTES);
    }
    if (first !== inbox.last + 1 || assembly.number !== first)
      throw new LinkViolation(`A piece of message ${first} came after message ${inbox.last}.`);
    inbox.assembly = assembly;
    if (!assembly.add(bytes)) return undefined;
    inbox.assembly = undefined;
    return { first, messages: [assembly.message], bytes: assembly.total };
  }

  return {
    read(kind, first, body) {
      if (kind === KIND.part) return piece(first, body);
      if (inbox.assembly !== undefined) throw new LinkViolation(`Message ${first} came in the middle of message ${inbox.assembly.number}.`);
      const messages = listOf(codec.decode(body));
      inbox.admit(messages.length - inbox.repeated(first, messages.length), body.length);
      return { first, messages, bytes: body.length };
    },
  };
}
