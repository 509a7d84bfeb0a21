import type { Host } from '#runtime/kernel/host.ts';
import type { Admission } from '#runtime/kernel/ref.ts';
import { createChannel, type Channel, type Down } from './channel.ts';
import { Inbox } from './inbox.ts';
import type { Lane, LanePosition, LaneWindow, PerLane } from './lane.ts';
import type { Arrived } from './lane-reader.ts';
import type { LinkLimits } from './limits.ts';
import { messageSize } from './message-size.ts';
import { Outbox } from './outbox.ts';
import type { SocketLike } from './socket.ts';
import { FIRST_VERSION } from './version.ts';

/**
 * What a session is on either end: two lanes, each with its two numberings, and one socket at a time. Sockets come (`attach`) and
 * go (`down`); the numbers stay, so nothing is lost, repeated or reordered between two ends that both keep their conversation.
 */
export interface Conversation<Out> {
  /** Throws `GridError` for what the link cannot carry: see `messageSize`. */
  send(message: Out): Admission;
  /** How far the peer's messages have come here. */
  position(): PerLane<LanePosition>;
  /** Whether a peer that has come so far can go on with this conversation in that version. */
  canResume(version: number, position: PerLane<LanePosition>): boolean;
  /** The authenticated socket from now on, in place of an earlier one. Sends everything above the peer's position again, in order. */
  attach(socket: SocketLike, terms: Terms): Channel;
  /** Says goodbye over the current socket, if there is one. */
  close(reason: string): void;
  /** Both sides count from 1 again. Answers the messages that the peer is not known to have. */
  restart(): readonly Out[];
}

/** What the handshake agreed on. */
export interface Terms {
  readonly version: number;
  readonly generation: number;
  /** How far our messages have come at the peer. */
  readonly position: PerLane<LanePosition>;
  /** How much the peer takes; undefined: as much as we do. */
  readonly window: PerLane<LaneWindow> | undefined;
}

export interface ConversationOptions<In, Out> {
  readonly host: Host;
  readonly limits: LinkLimits;
  readonly decode: (raw: unknown) => In;
  /** Which lane a message goes by. */
  readonly lane: (message: Out) => Lane;
  /**
   * Takes one message: it counts as delivered when this returns, and as consumed then or when the promise is fulfilled.
   * A throw or rejection ends the session as `crashed`.
   */
  readonly deliver: (message: In) => void | Promise<void>;
  /** There is room again after `send` had answered 'full'. */
  readonly onRoom: () => void;
  /** The current socket ended, not by this side. */
  readonly onDown: (cause: Down) => void;
}

/** What this side takes beyond what it has consumed. */
export function windowsOf(limits: LinkLimits): PerLane<LaneWindow> {
  return {
    control: { bytes: limits.reserveBytes, messages: limits.windowMessages },
    data: { bytes: limits.windowBytes, messages: limits.windowMessages },
  };
}

interface LaneState<Out> {
  readonly outbox: Outbox<Out>;
  inbox: Inbox;
  wasFull: boolean;
}

export function createConversation<In, Out>(options: ConversationOptions<In, Out>): Conversation<Out> {
  const { host, limits, decode, deliver } = options;
  const windows = windowsOf(limits);
  const lanes: PerLane<LaneState<Out>> = { control: open('control'), data: open('data') };
  let version: number | undefined;
  let channel: Channel | undefined;
  /** What the owner's handler threw while there was no socket to end the session on. */
  let crash: { readonly error: unknown } | undefined;

  function open(lane: Lane): LaneState<Out> {
    return { outbox: new Outbox<Out>(windows[lane]), inbox: new Inbox(windows[lane]), wasFull: false };
  }

  function acknowledged(name: Lane, seq: number): void {
    const lane = lanes[name];
    const before = lane.outbox.size;
    lane.outbox.acknowledge(seq);
    if (!lane.wasFull || lane.outbox.size === before) return;
    lane.wasFull = false;
    options.onRoom();
  }

  function arrived(on: Channel, lane: LaneState<Out>, { first, messages, bytes }: Arrived): number {
    const { inbox } = lane;
    const share = bytes / messages.length;
    const before = inbox.consumed;
    for (let i = inbox.repeated(first, messages.length); i < messages.length; i++) {
      const message = decode(messages[i]);
      let consuming: void | Promise<void>;
      try {
        consuming = deliver(message);
      } catch (error) {
        on.fail('crashed', error);
        return 0;
      }
      if (consuming === undefined) inbox.advance();
      else consume(consuming, lane, share);
      // The handler may have ended the session: what follows is not delivered, and so not acknowledged.
      if (channel !== on) return 0;
    }
    return inbox.consumed - before;
  }

  function consume(consuming: Promise<void>, { inbox }: LaneState<Out>, bytes: number): void {
    const done = inbox.hold(bytes);
    consuming.then(
      () => {
        const consumed = done();
        // Of an earlier session: nobody is owed anything.
        if (inbox !== lanes.control.inbox && inbox !== lanes.data.inbox) return;
        if (consumed > 0) channel?.consumed(consumed, consumed * bytes);
      },
      (error: unknown) => {
        if (inbox !== lanes.control.inbox && inbox !== lanes.data.inbox) return;
        if (channel === undefined) crash ??= { error };
        else channel.fail('crashed', error);
      },
    );
  }

  /** Before the first welcome nobody knew that the peer has one lane only. */
  function joinLanes(): void {
    const waiting = [...lanes.control.outbox.drain(), ...lanes.data.outbox.drain()];
    for (const message of waiting) lanes.data.outbox.put(message, messageSize(message, limits.messageBytes));
  }

  return {
    send(message) {
      const name = version === FIRST_VERSION ? 'data' : options.lane(message);
      const lane = lanes[name];
      if (!lane.outbox.offer(message, messageSize(message, limits.messageBytes))) {
        lane.wasFull = true;
        return 'full';
      }
      channel?.requestFlush();
      return 'accepted';
    },
    position: () => ({ control: lanes.control.inbox.position, data: lanes.data.inbox.position }),
    canResume: (spoken, { control, data }) =>
      spoken === version && lanes.control.outbox.canResume(control) && lanes.data.outbox.canResume(data),
    attach(socket, terms) {
      channel?.abandon();
      if (terms.version === FIRST_VERSION && version !== FIRST_VERSION) joinLanes();
      version = terms.version;
      for (const name of ['control', 'data'] as const) {
        const { outbox } = lanes[name];
        outbox.resize(smaller(windows[name], terms.window?.[name]));
        outbox.rewind(terms.position[name]);
      }
      const next: Channel = createChannel({
        host,
        limits,
        socket,
        version,
        generation: terms.generation,
        port: {
          lanes,
          acknowledged,
          arrived: (name, messages) => arrived(next, lanes[name], messages),
          down(cause) {
            channel = undefined;
            options.onDown(cause);
          },
        },
      });
      channel = next;
      if (crash !== undefined) host.scheduler.microtask(() => next.fail('crashed', crash?.error));
      else if (lanes.control.outbox.pending || lanes.data.outbox.pending) next.requestFlush();
      return next;
    },
    close(reason) {
      channel?.close(reason);
      channel = undefined;
    },
    restart() {
      crash = undefined;
      for (const name of ['control', 'data'] as const) {
        lanes[name].inbox = new Inbox(windows[name]);
        lanes[name].wasFull = false;
      }
      return [...lanes.control.outbox.drain(), ...lanes.data.outbox.drain()];
    },
  };
}

function smaller(one: LaneWindow, other: LaneWindow | undefined): LaneWindow {
  if (other === undefined) return one;
  return { bytes: Math.min(one.bytes, other.bytes), messages: Math.min(one.messages, other.messages) };
}
