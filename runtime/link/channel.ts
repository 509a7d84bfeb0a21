import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import { createFrameBuffers } from './frame-buffers.ts';
import { frameLayout, isHandshakeFrame, KIND, MAX_HEADER_BYTES, type FrameKind, type Header } from './frame.ts';
import type { Inbox } from './inbox.ts';
import type { Lane, PerLane } from './lane.ts';
import { createLaneReader, type Arrived } from './lane-reader.ts';
import { BATCH_SLACK, createLaneWriter, type LaneWriter, type Piece } from './lane-writer.ts';
import { DEFAULT_LIMITS, type LinkLimits } from './limits.ts';
import type { Outbox } from './outbox.ts';
import { CLOSE, type SocketLike } from './socket.ts';
import { FIRST_VERSION } from './version.ts';
import { LinkViolation } from './violation.ts';

/**
 * One authenticated socket in the life of a session: open, then ended, once and for good.
 *
 * While open it sends what waits in the lanes, in frames of many messages, the control lane always first; answers pings;
 * acknowledges on everything that it sends anyway, and by a frame of its own when too much or too long is owed. Of the data lane
 * no more is on its way than the peer has heard but for `flightBytes`: neither this process's buffers, nor the operating systems',
 * nor the peer's hold more, so a control message never has more than that before it. (Version 1 cannot say what it heard.) It ends
 * - `lost`: the socket closed, or nothing was heard for `deadAfterMs` in spite of a ping, or the peer asks on and on without
 *   reading the answers. The session may go on elsewhere;
 * - `closed`: the peer said that the session is over;
 * - `failed`: the peer broke the protocol, or the owner's handler threw. The peer is told that the session is over;
 * - silently, by `close` or `abandon` from this side.
 */
export interface Channel {
  /** Something waits in a lane: sent when the event loop has gone round, with all that comes until then. */
  requestFlush(): void;
  receive(data: Uint8Array): void;
  socketClosed(): void;
  /** The owner has consumed what had arrived before: acknowledge it. */
  consumed(messages: number, bytes: number): void;
  /** Sends what waits, as far as the peer takes it, and says that the session is over. */
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

/** What the session keeps of a lane. */
export interface ChannelLane {
  readonly outbox: Outbox<unknown>;
  readonly inbox: Inbox;
}

/** The session as its socket sees it. */
export interface ChannelPort {
  readonly lanes: PerLane<ChannelLane>;
  /** The peer has consumed everything up to this number. Throws `LinkViolation` when that cannot be. */
  acknowledged(lane: Lane, seq: number): void;
  /** Messages arrived. Answers how many of them are consumed. Throws what `decode` or the numbering objects to. */
  arrived(lane: Lane, messages: Arrived): number;
  /** Called once, unless this side ended it. */
  down(cause: Down): void;
}

export interface ChannelOptions {
  readonly host: Host;
  readonly limits: LinkLimits;
  readonly socket: SocketLike;
  /** Version of the wire. */
  readonly version: number;
  readonly generation: number;
  readonly port: ChannelPort;
}

const NOTHING = new Uint8Array(0);
const MAX_REASON_BYTES = 120;
/** Of all links of the process. */
const buffers = createFrameBuffers(DEFAULT_LIMITS.frameBytes + MAX_HEADER_BYTES, 32);

export function createChannel({ host, limits, socket, version, generation, port }: ChannelOptions): Channel {
  const layout = frameLayout(version);
  const { control, data } = port.lanes;
  const writers: PerLane<LaneWriter> = {
    control: createLaneWriter(version, control.outbox, limits),
    data: createLaneWriter(version, data.outbox, limits),
  };
  const readers = { control: createLaneReader(version, control.inbox, limits), data: createLaneReader(version, data.inbox, limits) };
  // Everything that an honest end can have under way, twice over.
  const maxBuffered = 2 * (limits.messageBytes + limits.windowBytes + limits.reserveBytes);
  const paced = version !== FIRST_VERSION;
  let ended = false;
  let sentFrames = 0;
  let heardFrames = 0;
  let flushRequested = false;

  /** Frames with data or with pieces of something large that the peer has not heard yet. */
  let flight: { readonly frame: number; readonly bytes: number }[] = [];
  let flightBytes = 0;
  /** What is not small waits for the peer to hear. */
  let held = false;

  let owedMessages = 0;
  let owedBytes = 0;
  let ackTimer: Cancellable | undefined;

  let heardAt = host.clock.now();
  let unansweredSince: number | undefined;
  let silenceTimer = host.scheduler.after(limits.pingAfterMs, checkSilence);

  function transmit(kind: FrameKind, body: Uint8Array, lane: Lane = 'data', first = 0): void {
    sentFrames += 1;
    owedMessages = 0;
    owedBytes = 0;
    ackTimer?.cancel();
    ackTimer = undefined;
    const header: Header = {
      kind,
      lane,
      generation,
      frame: sentFrames,
      heard: heardFrames,
      first,
      controlAck: control.inbox.consumed,
      ack: data.inbox.consumed,
    };
    if (kind !== KIND.part) return socket.send(layout.write(header, body));
    const frame = layout.write(header, body, buffers.take);
    socket.send(frame, () => buffers.giveBack(frame));
  }

  function transmitPiece(lane: Lane, { kind, first, body }: Piece): void {
    transmit(kind, body, lane, first);
    if (!paced || (lane === 'control' && kind === KIND.data)) return;
    flight.push({ frame: sentFrames, bytes: body.length });
    flightBytes += body.length;
  }

  /** One frame of what waits, if anything may be sent. */
  function transmitNext(): boolean {
    if (ended) return false;
    held = flightBytes > 0 && flightBytes + limits.frameBytes > limits.flightBytes;
    const urgent = !paced ? undefined : writers.control.next(held);
    const piece = urgent ?? (held ? undefined : writers.data.next(false));
    if (piece === undefined) return false;
    transmitPiece(urgent === undefined ? 'data' : 'control', piece);
    return true;
  }

  function heardBy(peer: number): void {
    if (peer > sentFrames) throw new LinkViolation(`The peer heard frame ${peer}, but only ${sentFrames} were sent.`);
    let count = 0;
    for (const { frame, bytes } of flight) {
      if (frame > peer) break;
      flightBytes -= bytes;
      count += 1;
    }
    if (count === 0) return;
    flight = flight.slice(count);
    if (held) requestFlush();
  }

  function flush(): void {
    flushRequested = false;
    try {
      while (transmitNext());
    } catch (error) {
      // Only a message that its sender changed after `send` cannot be encoded.
      return fail(error instanceof LinkViolation ? 'protocol' : 'crashed', error);
    }
    if (!ended && ackIsDue()) transmit(KIND.ack, NOTHING);
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
    ackTimer ??= host.scheduler.after(limits.ackAfterMs, () => transmit(KIND.ack, NOTHING));
  }

  function receive(bytes: Uint8Array): void {
    if (ended) return;
    heardAt = host.clock.now();
    unansweredSince = undefined;
    if (isHandshakeFrame(bytes)) return;
    if (socket.bufferedBytes > maxBuffered) return lose('it does not read what it asks for');
    try {
      read(bytes);
    } catch (error) {
      fail('protocol', error);
    }
  }

  function read(bytes: Uint8Array): void {
    const { header, body } = layout.read(bytes, limits.frameBytes + BATCH_SLACK);
    if (header.generation !== generation || header.frame <= heardFrames) return;
    if (header.frame !== heardFrames + 1) throw new LinkViolation(`Frame ${header.frame} came after frame ${heardFrames}.`);
    heardFrames = header.frame;
    heardBy(header.heard);
    port.acknowledged('control', header.controlAck);
    port.acknowledged('data', header.ack);
    if (ended) return;
    switch (header.kind) {
      case KIND.data:
      case KIND.part: {
        const arrived = readers[header.lane].read(header.kind, header.first, body);
        const consumed = arrived === undefined ? 0 : port.arrived(header.lane, arrived);
        // Version 1 wants to hear of whole messages only. A large message that is consumed whole frees more than its last piece.
        if (!ended && (arrived !== undefined || paced)) owe(consumed, consumed > 0 || !paced ? (arrived?.bytes ?? 0) : body.length);
        return;
      }
      case KIND.ping:
        return transmit(KIND.pong, NOTHING);
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

  function checkSilence(): void {
    const now = host.clock.now();
    if (now - heardAt < limits.pingAfterMs) return watchSilence(limits.pingAfterMs - (now - heardAt));
    // Counted from the ping, not from the last word: a pause of this whole process is not the peer's silence.
    unansweredSince ??= now;
    const patience = limits.deadAfterMs - limits.pingAfterMs - (now - unansweredSince);
    if (patience > 0) {
      transmit(KIND.ping, NOTHING);
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
    transmit(KIND.close, Buffer.from(reason.slice(0, MAX_REASON_BYTES)));
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
    consumed(messages, bytes) {
      if (!ended) owe(messages, bytes);
    },
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
