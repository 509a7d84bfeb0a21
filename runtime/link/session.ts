import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import type { Admission } from '#runtime/kernel/ref.ts';
import type { Channel } from './channel.ts';
import { createConversation } from './conversation.ts';
import type { Hello } from './handshake.ts';
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
   * 'accepted': it will arrive once, after everything accepted before it, unless the session closes first. Don't change it any more.
   * 'full': the window is full, nothing was taken; `onRoom` tells when to go on. 'closed': the session is over.
   * Throws `GridError` for what the link cannot carry (see `messageSize`).
   */
  send(message: Out): Admission;
  /**
   * Messages in the order in which they were sent, each once. A message is acknowledged to the peer when the callback has
   * returned, that is when it was *delivered*, not when anything became durable: what must survive this process needs an
   * answer of its own, sent after the commit. Must be set in the turn of `onSession`.
   */
  onMessage(callback: (message: In) => void): void;
  onSuspended(callback: () => void): void;
  onResumed(callback: () => void): void;
  /** Once. `undelivered` are the messages that the peer has not acknowledged: they may have arrived or not. */
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
  delivered(): number;
  canResume(hello: Hello): boolean;
  attach(socket: SocketLike, generation: number, peerDelivered: number): Channel;
  /** The peer is back: after `attach`. */
  resumed(payload: unknown): void;
  end(reason: string): void;
}

export interface SessionOptions<In> {
  readonly host: Host;
  readonly limits: LinkLimits;
  readonly id: string;
  readonly peer: string;
  readonly bootId: string;
  readonly payload: unknown;
  readonly decode: (raw: unknown) => In;
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
  onFault,
  onEnded,
}: SessionOptions<In>): ServerSession<In, Out> {
  const fault = (error: unknown): void => onFault(peer, error);
  const suspended = createSignal<[]>(fault);
  const resumed = createSignal<[]>(fault);
  const room = createSignal<[]>(fault);
  const closed = createSignal<[reason: string, undelivered: readonly Out[]]>(fault);
  let deliver = (_message: In): void => {
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
    delivered: () => conversation.delivered(),
    canResume: (again) => again.sessionId === id && again.bootId === bootId && conversation.canResume(again.lastSeqSeen),
    attach(socket, number, peerDelivered) {
      expiry?.cancel();
      generation = number;
      return conversation.attach(socket, number, peerDelivered);
    },
    resumed(again) {
      current = again;
      resumed.emit();
    },
    end,
  };
}
