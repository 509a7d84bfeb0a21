import { randomBytes } from 'node:crypto';

import { backoffMs } from '#runtime/kernel/backoff.ts';
import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import type { Admission } from '#runtime/kernel/ref.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { createAttempt, type Attempt } from './attempt.ts';
import type { Channel, Down } from './channel.ts';
import { createConversation, windowsOf } from './conversation.ts';
import type { Receiver } from './greeting.ts';
import { freshId, type Entropy } from './handshake.ts';
import type { Reception } from './introduction.ts';
import { BEGINNING, type Lane } from './lane.ts';
import { linkLimits, type LinkLimits } from './limits.ts';
import type { SocketLike } from './socket.ts';
import { VERSIONS, type VersionRange } from './version.ts';
import { LinkViolation } from './violation.ts';

/**
 * The side that dials. States:
 *
 * - connecting: from the start to the first welcome.
 * - open: there is a session and a socket. Socket lost, or the server ends the session -> suspended.
 * - suspended: tries again and again, with pauses. Welcomed -> open: `onOpen({ resumed: true })` when the server still has the session;
 *   otherwise a new session begins, and what the server had not acknowledged is handed back (`onLost`) before `onOpen({ resumed: false })`.
 *   It is not sent again: the messages were for a session whose state the server has forgotten.
 * - closed: by `close()`; by a final refusal: `superseded` (another process has this peer's key), or `unauthenticated` for the n-th
 *   time in a row. What was not acknowledged is handed back. Nothing leads out of it.
 *
 * In connecting and suspended `send` takes messages until the window is full.
 */
export interface LinkClient<Out> {
  /** As `LinkSession.send`. 'closed' in the state closed only. */
  send(message: Out): Admission;
  /** Sends what waits, ends the session, and resolves when the socket is closed, at the latest after `farewellMs`. */
  close(): Promise<void>;
  readonly state: LinkState;
}

export type LinkState = 'connecting' | 'open' | 'suspended' | 'closed';

/** What the owner hears. A callback that throws ends the session (`onMessage`) or is reported to `onFault` (the others). */
export interface LinkClientEvents<In, Out = unknown> {
  readonly onOpen: (how: { readonly resumed: boolean }) => void;
  /** As `LinkSession.onMessage`: consumed, and acknowledged, when this has returned or its promise is fulfilled; not durable by that. */
  readonly onMessage: (message: In) => void | Promise<void>;
  /** The session has no socket any more; `reason` is for the log: `disconnected`, `silent`, or why the server ended the session. */
  readonly onSuspended?: (reason: string) => void;
  /**
   * The server does not want us. Final: the client is closed now. Reasons: `unauthenticated`, `superseded`, `unavailable`, `stale`,
   * `wrong-server` (it shows another key than the pinned one), and `version: ...` with what each end speaks. The last is not final:
   * the server may be next to be upgraded.
   */
  readonly onRefused?: (reason: string, final: boolean) => void;
  /** Messages that will not be sent again and that the server had not acknowledged: they may have arrived or not. */
  readonly onLost?: (messages: readonly Out[]) => void;
  /** There is room in the window again after `send` answered 'full'. */
  readonly onRoom?: () => void;
  /** An attempt failed: for the log. The next one follows by itself. */
  readonly onUnreachable?: (error: unknown) => void;
  /** The server broke the protocol, or a callback of this side threw: for the log. */
  readonly onFault?: (error: unknown) => void;
}

export interface LinkClientOptions<In, Out> extends LinkClientEvents<In, Out> {
  readonly host: Host;
  /** Opens a socket to the server. It may still be connecting when it is handed over. */
  readonly connect: () => SocketLike | Promise<SocketLike>;
  /** Who we say we are: the server finds our public key by it. */
  readonly peer: string;
  readonly key: KeyPair;
  /** The server's key, pinned at enrolment: 64 lower-case hex digits. */
  readonly serverKey: string;
  /** The owner's part of the hello, made anew for each attempt. Signed, not secret. */
  readonly hello: () => unknown;
  /** Makes a message out of what arrived, or throws: then the session ends with the reason `protocol`, and a new one is tried. */
  readonly decode: (raw: unknown) => In;
  /** Which lane a message goes by. `data` for all unless given: see lane.ts. */
  readonly lane?: (message: Out) => Lane;
  readonly limits?: Partial<LinkLimits>;
  /** What we speak; tests and rolling upgrades narrow it. */
  readonly versions?: VersionRange;
  /** Unpredictable bytes for nonces and the boot id; tests inject their own. */
  readonly entropy?: Entropy;
}

/** Starts dialling at once. */
export function createLinkClient<In, Out>(options: LinkClientOptions<In, Out>): LinkClient<Out> {
  const { host, entropy = randomBytes, versions = VERSIONS } = options;
  const limits = linkLimits(options.limits);
  const bootId = freshId(entropy);
  let state: LinkState = 'connecting';
  let sessionId: string | null = null;
  let spoken: number | undefined;
  let hadSession = false;
  let attempt: Attempt | undefined;
  let retry: Cancellable | undefined;
  let failures = 0;
  let refusals = 0;
  let openedAt = 0;
  let closing: Promise<void> | undefined;
  let liveSocket: SocketLike | undefined;
  let onSocketClosed: (() => void) | undefined;

  const conversation = createConversation<In, Out>({
    host,
    limits,
    decode: options.decode,
    lane: options.lane ?? ((): Lane => 'data'),
    deliver: options.onMessage,
    onRoom: () => call(() => options.onRoom?.()),
    onDown,
  });

  function call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      options.onFault?.(error);
    }
  }

  function dial(): void {
    retry = undefined;
    attempt = createAttempt({
      host,
      limits,
      versions,
      peer: options.peer,
      key: options.key,
      serverKey: options.serverKey,
      entropy,
      bootId,
      connect: options.connect,
      state(version) {
        // A session stays in its version: after an upgrade of the server there is nothing left to resume anyway.
        const known = version === spoken ? sessionId : null;
        const position = known === null ? BEGINNING : conversation.position();
        return { sessionId: known, position, window: windowsOf(limits), payload: options.hello() };
      },
      onWelcome,
      onRefused,
      onFailed(error) {
        call(() => options.onUnreachable?.(error));
        again();
      },
    });
  }

  function again(): void {
    attempt = undefined;
    if (state === 'closed') return;
    failures += 1;
    const pauseMs = backoffMs(failures, { minMs: limits.backoffMinMs, maxMs: limits.backoffMaxMs, jitter: 0.5 }, () => host.random());
    retry = host.scheduler.after(pauseMs, dial);
  }

  function onWelcome(socket: SocketLike, version: number, reception: Reception): Receiver {
    attempt = undefined;
    refusals = 0;
    openedAt = host.clock.now();
    const { resumed, position, window, generation } = reception;
    if (resumed && (reception.sessionId !== sessionId || !conversation.canResume(version, position))) {
      return reject(socket, new LinkViolation('The server resumes a session that does not fit ours.'));
    }
    const lost = !resumed && hadSession ? conversation.restart() : [];
    const channel: Channel = conversation.attach(socket, { version, generation, position: resumed ? position : BEGINNING, window });
    sessionId = reception.sessionId;
    spoken = version;
    hadSession = true;
    liveSocket = socket;
    state = 'open';
    handBack(lost);
    call(() => options.onOpen({ resumed }));
    return {
      receive: (data) => channel.receive(data),
      socketClosed() {
        channel.socketClosed();
        if (liveSocket === socket) liveSocket = undefined;
        onSocketClosed?.();
      },
    };
  }

  /** The next attempt asks for a new session. */
  function reject(socket: SocketLike, error: unknown): Receiver {
    sessionId = null;
    socket.close();
    call(() => options.onFault?.(error));
    again();
    return { receive: () => undefined, socketClosed: () => undefined };
  }

  function onRefused(reason: string): void {
    refusals = reason === 'unauthenticated' ? refusals + 1 : 0;
    const final = refusals >= limits.refusalsUntilFinal;
    if (final) giveUp(reason);
    else call(() => options.onRefused?.(reason, false));
    again();
  }

  function giveUp(reason: string): void {
    state = 'closed';
    call(() => options.onRefused?.(reason, true));
    handBack(conversation.restart());
  }

  function handBack(messages: readonly Out[]): void {
    if (messages.length > 0) call(() => options.onLost?.(messages));
  }

  function onDown(cause: Down): void {
    if (host.clock.now() - openedAt >= limits.stableAfterMs) failures = 0;
    if (cause.kind !== 'lost') sessionId = null;
    if (cause.kind === 'failed') call(() => options.onFault?.(cause.error));
    if (cause.kind === 'closed' && cause.reason === 'superseded') return giveUp('superseded');
    state = 'suspended';
    call(() => options.onSuspended?.(cause.reason));
    again();
  }

  async function shut(): Promise<void> {
    const wasOpen = state === 'open';
    state = 'closed';
    retry?.cancel();
    attempt?.cancel();
    conversation.close('closed');
    const socket = liveSocket;
    if (wasOpen && socket !== undefined) {
      await new Promise<void>((resolve) => {
        const patience = host.scheduler.after(limits.farewellMs, () => {
          socket.abort?.();
          resolve();
        });
        onSocketClosed = () => {
          patience.cancel();
          resolve();
        };
      });
    }
    handBack(conversation.restart());
  }

  dial();
  return {
    send: (message) => (state === 'closed' ? 'closed' : conversation.send(message)),
    close: () => (closing ??= shut()),
    get state() {
      return state;
    },
  };
}
