import { createCodec } from './codec.ts';
import { KIND } from './frame.ts';
import { openLargeMessage, type LargeMessage } from './large-message.ts';
import type { LinkLimits } from './limits.ts';
import type { Outbox } from './outbox.ts';
import { FIRST_VERSION } from './version.ts';

/** The body of one frame. */
export interface Piece {
  readonly kind: typeof KIND.data | typeof KIND.part;
  readonly first: number;
  readonly body: Uint8Array;
}

/** Turns what waits in one lane into frames of one connection. */
export interface LaneWriter {
  /** The next frame's body; undefined when nothing waits, or nothing but a piece of a large message and there is `onlySmall` room. */
  next(onlySmall: boolean): Piece | undefined;
}

/** What a batch's own array may add to its messages. */
export const BATCH_SLACK = 64;

export function createLaneWriter(version: number, outbox: Outbox<unknown>, limits: LinkLimits): LaneWriter {
  return version === FIRST_VERSION ? encodedInParts(outbox, limits) : openedInPieces(outbox, limits);
}

/** Version 1: a batch is encoded as a whole; when it is large, its bytes are cut into parts. */
function encodedInParts(outbox: Outbox<unknown>, { frameBytes, frameMessages }: LinkLimits): LaneWriter {
  const codec = createCodec();
  let rest: { readonly first: number; readonly body: Uint8Array } | undefined;
  return {
    next() {
      if (rest === undefined) {
        const batch = outbox.take(frameBytes, frameMessages);
        if (batch === undefined) return undefined;
        rest = { first: batch.first, body: codec.encode(batch.messages) };
      }
      const { first, body } = rest;
      rest = body.length > frameBytes ? { first, body: body.subarray(frameBytes) } : undefined;
      return { kind: rest === undefined ? KIND.data : KIND.part, first, body: body.subarray(0, frameBytes) };
    },
  };
}

/** Version 2: what fits into a frame is encoded; what does not is opened and goes piece by piece. */
function openedInPieces(outbox: Outbox<unknown>, { frameBytes, frameMessages }: LinkLimits): LaneWriter {
  const codec = createCodec();
  const batchBytes = frameBytes - BATCH_SLACK;
  let large: { readonly first: number; readonly message: LargeMessage } | undefined;

  function pieceOf({ first, message }: NonNullable<typeof large>): Piece {
    const body = message.read(frameBytes);
    large = message.done ? undefined : { first, message };
    return { kind: KIND.part, first, body };
  }

  return {
    next(onlySmall) {
      if (onlySmall && (large !== undefined || outbox.nextBytes > batchBytes)) return undefined;
      if (large !== undefined) return pieceOf(large);
      const batch = outbox.take(batchBytes, frameMessages);
      if (batch === undefined) return undefined;
      const { first, messages, bytes, offset } = batch;
      if (bytes > batchBytes || offset > 0) return pieceOf({ first, message: openLargeMessage(messages[0], offset) });
      return { kind: KIND.data, first, body: codec.encode(messages) };
    },
  };
}
