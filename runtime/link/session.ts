import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import type { Admission } from '#runtime/kernel/ref.ts';
import type { Channel } from './channel.ts';
import { createConversation, type Terms } from './conversation.ts';
import type { Introduction } from './introduction.ts';
import type { Lane, LanePosition, PerLane } from './lane.ts';
import type { LinkLimits } from './limits.ts';
import { createSignal } from './signal.ts';
import type { SocketLike } from './socket.ts';

/**
 * A peer's session on the server: open, suspended, closed.
 *
 * - open: it has a socket. The socket lost -> suspended.
 * - suspended: `send` still takes messages until the window is full. The same process of the peer comes back with a new
 *   socket -> open (`onResumed`); it does not within `keepSessionMs` -> closed (`expired`).
 * - closed, with the reason that `onClosed` tells: `expired`; `superseded` (a newer session of the same peer);
 *   `protocol` (the peer sent what it must not); `crashed` (a handler here threw); `shutdown` (the server closes); the reason
 *   given to `close`; or `peer: ...` with what the peer said when it closed.
 *
 * Nothing is persisted: a session lives in the memory of two processes and dies with either.
 */
export interface LinkSession<In, Out> {
  /** 32 hex digits. */
  readonly id: string;
  readonly peer: string;
  /** The owner's part of the peer's latest hello. */
  readonly hello: unknown;
  /**
   * 'accepted': it will arrive once, after everything accepted before it in its lane, unless the session closes first. Don't change
   * it any more. 'full': the peer has not consumed a window's worth, nothing was taken; `onRoom` tells when to go on. 'closed': the
   * session is over.
   * Throws `GridError` for what the link cannot carry (see `messageSize`).
   */
  send(message: Out): Admission;
  /**
   * Messages in the order in which they were sent in their lane, each once. A message is *consumed*, and acknowledged to the peer, when
   * the callback has returned, or when the promise that it returned is fulfilled: until then it fills the peer's window, so
   * an owner that is slow slows its peer down instead of filling its own memory. A throw or rejection ends the session as `crashed`.
   * Consumed is not durable: what must survive this process needs an answer of its own, sent after the commit.
   * Must be set in the turn of `onSession`.
   */
  onMessage(callback: (message: In) => void | Promise<void>): void;
  onSuspended(callback: () => void): void;
  onResumed(callback: () => void): void;
  /** Once. `undelivered` are the messages that the peer has neither acknowledged nor shown to have: they may have arrived or not. */
  onClosed(callback: (reason: string, undelivered: readonly Out[]) => void): void;
  /** There is room in the window again after `send` answered 'full'. */
  onRoom(callback: () => void): void;
  close(reason: string): void;
}

/** The session as the server drives it. */
export interface ServerSession<In, Out> {
  readonly facade: LinkSession<In, Out>;
  /** Of the hello that the current socket came with. */
  readonly generation: number;
  position(): PerLane<LanePosition>;
  canResume(introduction: Introduction): boolean;
  attach(socket: SocketLike, terms: Terms): Channel;
  /** The peer is back: after `attach`. */
  resumed(payload: unknown): void;
  end(reason: string): void;
}

export interface SessionOptions<In, Out> {
  readonly host: Host;
  readonly limits: LinkLimits;
  readonly id: string;
  readonly peer: string;
  readonly bootId: string;
  readonly payload: unknown;
  readonly decode: (raw: unknown) => In;
  readonly lane: (message: Out) => Lane;
  /** The peer's fault or a callback's: for the log. */
  readonly onFault: (peer: string, error: unknown) => void;
  readonly onEnded: () => void;
}

export function createSession<In, Out>({
  host,
  limits,
  id,
  peer,
  bootId,
  payload,
  decode,
  lane,
  onFault,
  onEnded,
}: SessionOptions<In, Out>): ServerSession<In, Out> {
  const fault = (error: unknown): void => onFault(peer, error);
  const suspended = createSignal<[]>(fault);
  const resumed = createSignal<[]>(fault);
  const room = createSignal<[]>(fault);
  const closed = createSignal<[reason: string, undelivered: readonly Out[]]>(fault);
  let deliver = (_message: In): void | Promise<void> => {
    throw new Error('The session has no onMessage: set it in the turn of onSession.');
  };
  let current = payload;
  let generation = 0;
  let over = false;
  let expiry: Cancellable | undefined;

  const conversation = createConversation<In, Out>({
    host,
    limits,
    decode,
    lane,
    deliver: (message) => deliver(message),
    onRoom: () => room.emit(),
    onDown(cause) {
      if (cause.kind === 'closed') return end(`peer: ${cause.reason}`);
      if (cause.kind === 'failed') {
        fault(cause.error);
        return end(cause.reason);
      }
      expiry = host.scheduler.after(limits.keepSessionMs, () => end('expired'));
      suspended.emit();
    },
  });

  function end(reason: string): void {
    if (over) return;
    over = true;
    expiry?.cancel();
    conversation.close(reason);
    onEnded();
    closed.emit(reason, conversation.restart());
  }

  return {
    facade: {
      id,
      peer,
      get hello() {
        return current;
      },
      send: (message) => (over ? 'closed' : conversation.send(message)),
      onMessage(callback) {
        deliver = callback;
      },
      onSuspended: (callback) => suspended.listen(callback),
      onResumed: (callback) => resumed.listen(callback),
      onClosed: (callback) => closed.listen(callback),
      onRoom: (callback) => room.listen(callback),
      close: end,
    },
    get generation() {
      return generation;
    },
    position: () => conversation.position(),
    canResume: (again) => again.sessionId === id && again.bootId === bootId && conversation.canResume(again.version, again.position),
    attach(socket, terms) {
      expiry?.cancel();
      generation = terms.generation;
      return conversation.attach(socket, terms);
    },
    resumed(again) {
      current = again;
      resumed.emit();
    },
    end,
  };
}
