import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import { createCodec } from './codec.ts';
import { isHandshakeFrame, KIND, readFrame, writeFrame, type FrameKind } from './frame.ts';
import { MIN_PART_BYTES, type LinkLimits } from './limits.ts';
import type { Batch } from './outbox.ts';
import { CLOSE, type SocketLike } from './socket.ts';
import { LinkViolation } from './violation.ts';

/**
 * One authenticated socket in the life of a session: open, then ended, once and for good.
 *
 * While open it sends what the port offers, in frames of many messages; answers pings; acknowledges on everything that it
 * sends anyway, and by a frame of its own when too much or too long is owed. It ends
 * - `lost`: the socket closed, or nothing was heard for `deadAfterMs` in spite of a ping. The session may go on elsewhere;
 * - `closed`: the peer said that the session is over;
 * - `failed`: the peer broke the protocol, or the owner's handler threw. The peer is told that the session is over;
 * - silently, by `close` or `abandon` from this side.
 */
export interface Channel {
  /** Something waits in the port: sent when the event loop has gone round, with all that comes until then. */
  requestFlush(): void;
  receive(data: Uint8Array): void;
  socketClosed(): void;
  /** Sends what waits and says that the session is over. */
  close(reason: string): void;
  /** Drops the socket: the session goes on without it. */
  abandon(): void;
  /** Ends it as `failed`. */
  fail(reason: FailureReason, error: unknown): void;
}

/** `protocol`: the peer's doing. `crashed`: the owner's. */
export type FailureReason = 'protocol' | 'crashed';

export type Down =
  | { readonly kind: 'lost'; readonly reason: string }
  | { readonly kind: 'closed'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: FailureReason; readonly error: unknown };

/** The session as its socket sees it. */
export interface ChannelPort {
  /** The next messages to send. */
  next(): Batch<unknown> | undefined;
  /** Number of the last message that was delivered here. */
  delivered(): number;
  /** The peer has everything up to this number. Throws `LinkViolation` when that cannot be. */
  acknowledged(seq: number): void;
  /** Messages arrived. Throws what `decode` or the numbering objects to. */
  arrived(first: number, messages: readonly unknown[]): void;
  /** Called once, unless this side ended it. */
  down(cause: Down): void;
}

export interface ChannelOptions {
  readonly host: Host;
  readonly limits: LinkLimits;
  readonly socket: SocketLike;
  readonly generation: number;
  readonly port: ChannelPort;
}

const NOTHING = new Uint8Array(0);
/** What the batch's own array may add to its messages. */
const BATCH_SLACK = 64;
const MAX_REASON_BYTES = 120;

export function createChannel({ host, limits, socket, generation, port }: ChannelOptions): Channel {
  const codec = createCodec();
  let ended = false;
  let sentFrames = 0;
  let heardFrames = 0;
  let flushRequested = false;

  let parts: Uint8Array[] = [];
  let partsBytes = 0;

  let owedMessages = 0;
  let owedBytes = 0;
  let ackTimer: Cancellable | undefined;

  let heardAt = host.clock.now();
  let unansweredSince: number | undefined;
  let silenceTimer = host.scheduler.after(limits.pingAfterMs, checkSilence);

  function transmit(kind: FrameKind, first: number, body: Uint8Array): void {
    sentFrames += 1;
    owedMessages = 0;
    owedBytes = 0;
    ackTimer?.cancel();
    ackTimer = undefined;
    socket.send(writeFrame({ kind, generation, frame: sentFrames, first, ack: port.delivered() }, body));
  }

  function transmitBatch({ first, messages }: Batch<unknown>): void {
    const body = codec.encode(messages);
    let start = 0;
    for (; body.length - start > limits.frameBytes; start += limits.frameBytes) {
      transmit(KIND.part, first, body.subarray(start, start + limits.frameBytes));
    }
    transmit(KIND.data, first, body.subarray(start));
  }

  function flush(): void {
    flushRequested = false;
    try {
      for (let batch = ended ? undefined : port.next(); batch !== undefined; batch = ended ? undefined : port.next()) transmitBatch(batch);
    } catch (error) {
      // Only a message that its sender changed after `send` cannot be encoded.
      return fail('crashed', error);
    }
    if (!ended && ackIsDue()) transmit(KIND.ack, 0, NOTHING);
  }

  function requestFlush(): void {
    if (flushRequested || ended) return;
    flushRequested = true;
    host.scheduler.yieldThen(flush);
  }

  const ackIsDue = (): boolean => owedMessages >= limits.ackAfterMessages || owedBytes >= limits.ackAfterBytes;

  function owe(messages: number, bytes: number): void {
    owedMessages += messages;
    owedBytes += bytes;
    if (ackIsDue()) return requestFlush();
    ackTimer ??= host.scheduler.after(limits.ackAfterMs, () => transmit(KIND.ack, 0, NOTHING));
  }

  function receive(data: Uint8Array): void {
    if (ended) return;
    heardAt = host.clock.now();
    unansweredSince = undefined;
    if (isHandshakeFrame(data)) return;
    try {
      read(data);
    } catch (error) {
      fail('protocol', error);
    }
  }

  function read(data: Uint8Array): void {
    const { header, body } = readFrame(data, limits.frameBytes);
    if (header.generation !== generation || header.frame <= heardFrames) return;
    if (header.frame !== heardFrames + 1) throw new LinkViolation(`Frame ${header.frame} came after frame ${heardFrames}.`);
    heardFrames = header.frame;
    port.acknowledged(header.ack);
    if (ended) return;
    switch (header.kind) {
      case KIND.part:
        return keepPart(body);
      case KIND.data: {
        const bytes = assemble(body);
        const messages = codec.decode(bytes);
        if (!Array.isArray(messages) || messages.length === 0) throw new LinkViolation('The body of a frame is not a list of messages.');
        port.arrived(header.first, messages as unknown[]);
        if (!ended) owe(messages.length, bytes.length);
        return;
      }
      case KIND.ping:
        return transmit(KIND.pong, 0, NOTHING);
      case KIND.close: {
        const reason = Buffer.from(body).toString('utf8').slice(0, MAX_REASON_BYTES);
        end();
        socket.close(CLOSE.normal, reason);
        return port.down({ kind: 'closed', reason });
      }
      case KIND.ack:
      case KIND.pong:
        return;
    }
  }

  function keepPart(body: Uint8Array): void {
    if (body.length < MIN_PART_BYTES) throw new LinkViolation(`A part of ${body.length} bytes is too small.`);
    partsBytes += body.length;
    if (partsBytes > limits.messageBytes + BATCH_SLACK) throw new LinkViolation(`A message has more than ${limits.messageBytes} bytes.`);
    parts.push(body);
  }

  function assemble(last: Uint8Array): Uint8Array {
    if (parts.length === 0) return last;
    if (partsBytes + last.length > limits.messageBytes + BATCH_SLACK)
      throw new LinkViolation(`A message has more than ${limits.messageBytes} bytes.`);
    const whole = Buffer.concat([...parts, last]);
    parts = [];
    partsBytes = 0;
    return whole;
  }

  function checkSilence(): void {
    const now = host.clock.now();
    if (now - heardAt < limits.pingAfterMs) return watchSilence(limits.pingAfterMs - (now - heardAt));
    // Counted from the ping, not from the last word: a pause of this whole process is not the peer's silence.
    unansweredSince ??= now;
    const patience = limits.deadAfterMs - limits.pingAfterMs - (now - unansweredSince);
    if (patience > 0) {
      transmit(KIND.ping, 0, NOTHING);
      return watchSilence(Math.min(limits.pingAfterMs, patience));
    }
    // And after such a pause the answer may lie in the socket: let the event loop read it first.
    host.scheduler.yieldThen(() => {
      if (ended) return;
      if (unansweredSince !== undefined) return lose('silent');
      watchSilence(limits.pingAfterMs);
    });
  }

  function watchSilence(ms: number): void {
    silenceTimer = host.scheduler.after(ms, checkSilence);
  }

  function end(): void {
    ended = true;
    parts = [];
    silenceTimer.cancel();
    ackTimer?.cancel();
  }

  function drop(): void {
    end();
    if (socket.abort === undefined) socket.close(CLOSE.goingAway);
    else socket.abort();
  }

  function lose(reason: string): void {
    drop();
    port.down({ kind: 'lost', reason });
  }

  function farewell(code: number, reason: string): void {
    transmit(KIND.close, 0, Buffer.from(reason.slice(0, MAX_REASON_BYTES)));
    end();
    socket.close(code, reason);
  }

  function fail(reason: FailureReason, error: unknown): void {
    if (ended) return;
    farewell(CLOSE.violation, reason);
    port.down({ kind: 'failed', reason, error });
  }

  return {
    requestFlush,
    receive,
    fail,
    socketClosed() {
      if (ended) return;
      end();
      port.down({ kind: 'lost', reason: 'disconnected' });
    },
    close(reason) {
      if (ended) return;
      flush();
      if (!ended) farewell(CLOSE.normal, reason);
    },
    abandon() {
      if (!ended) drop();
    },
  };
}
