import { randomBytes } from 'node:crypto';

import type { Host } from '#runtime/kernel/host.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { createGreeting, sendRefusal, type Authenticate, type Greeted, type Greeting, type Receiver } from './greeting.ts';
import { windowsOf } from './conversation.ts';
import { freshId, type Entropy } from './handshake.ts';
import { writeReception } from './introduction.ts';
import { BEGINNING, type Lane } from './lane.ts';
import { linkLimits, type LinkLimits } from './limits.ts';
import { createSession, type LinkSession, type ServerSession } from './session.ts';
import { CLOSE, type SocketLike } from './socket.ts';
import { VERSIONS, type VersionRange } from './version.ts';

/**
 * The side that waits: agents dial in, and so do other coordinators.
 *
 * Each peer has at most one session. A hello that names the session, from the same process and at a number that fits, resumes it
 * on the new socket; any other hello that proves the peer's key starts a new session and closes the older one. Hellos are numbered
 * as they arrive (the generation), because looking a peer up takes time: one that is overtaken by a newer one is refused as `stale`.
 */
export interface LinkServer {
  /** Takes a socket that just opened. */
  accept(socket: SocketLike): void;
  /** Ends all sessions with the reason `shutdown` and resolves when all sockets are closed. */
  close(): Promise<void>;
}

export interface LinkServerOptions<In, Out> {
  readonly host: Host;
  readonly key: KeyPair;
  /** Makes a message out of what arrived, or throws: then the session closes with the reason `protocol`. */
  readonly decode: (raw: unknown) => In;
  /** Which lane a message goes by. `data` for all unless given: see lane.ts. */
  readonly lane?: (message: Out) => Lane;
  readonly authenticate: Authenticate;
  /** A new session. It must get its `onMessage` before this returns. */
  readonly onSession: (session: LinkSession<In, Out>) => void;
  /** A peer's session broke the protocol, or a callback of this side threw: for the log. */
  readonly onFault?: (peer: string, error: unknown) => void;
  /** A socket did not become a session. `peer` is only what it claimed to be: for the log. */
  readonly onRefused?: (peer: string | undefined, why: string) => void;
  readonly limits?: Partial<LinkLimits>;
  /** What it speaks; tests and rolling upgrades narrow it. */
  readonly versions?: VersionRange;
  /** Unpredictable bytes for nonces and session ids; tests inject their own. */
  readonly entropy?: Entropy;
}

export function createLinkServer<In, Out>(options: LinkServerOptions<In, Out>): LinkServer {
  const { host, key, decode, onSession, entropy = randomBytes, versions = VERSIONS, lane = (): Lane => 'data' } = options;
  const limits = linkLimits(options.limits);
  const onFault = options.onFault ?? ((): void => undefined);
  const onRefused = options.onRefused ?? ((): void => undefined);
  const sessions = new Map<string, ServerSession<In, Out>>();
  const greetings = new Set<Greeting>();
  const sockets = new Set<SocketLike>();
  let generation = 0;
  let closing: Promise<void> | undefined;
  let onQuiet: (() => void) | undefined;

  function accept(socket: SocketLike): void {
    if (closing !== undefined) return socket.close(CLOSE.goingAway, 'shutdown');
    if (greetings.size >= limits.handshakes) return socket.close(CLOSE.tryLater, 'too many handshakes');
    sockets.add(socket);
    const greeting = createGreeting({
      host,
      limits,
      versions,
      key,
      entropy,
      socket,
      authenticate: options.authenticate,
      nextGeneration: () => ++generation,
      onGreeted(greeted) {
        greetings.delete(greeting);
        receiver = admit(greeted, socket) ?? receiver;
      },
      onFailed(peer, why) {
        greetings.delete(greeting);
        onRefused(peer, why);
      },
    });
    greetings.add(greeting);
    let receiver: Receiver = greeting;
    socket.onMessage((data) => receiver.receive(data));
    socket.onClose((_code, reason) => {
      sockets.delete(socket);
      receiver.socketClosed(reason);
      if (sockets.size === 0) onQuiet?.();
    });
  }

  function admit(greeted: Greeted, socket: SocketLike): Receiver | undefined {
    const { introduction, asked } = greeted;
    const { peer, version, position, window } = introduction;
    const existing = sessions.get(peer);
    if (existing !== undefined && greeted.generation < existing.generation) {
      sendRefusal(socket, 'stale', asked, key);
      onRefused(peer, 'a newer hello of this peer overtook it');
      return undefined;
    }
    const resumed = existing?.canResume(introduction) === true;
    const session = resumed ? existing : open(greeted);
    const { generation } = greeted;
    const reception = { sessionId: session.facade.id, generation, resumed, position: session.position(), window: windowsOf(limits) };
    socket.send(writeReception(version, reception, asked, key));
    const channel = session.attach(socket, { version, generation, position: resumed ? position : BEGINNING, window });
    if (resumed) session.resumed(greeted.payload);
    else introduce(session);
    return channel;
  }

  function open({ introduction, payload }: Greeted): ServerSession<In, Out> {
    const { peer, bootId } = introduction;
    sessions.get(peer)?.end('superseded');
    const session = createSession<In, Out>({
      host,
      limits,
      id: freshId(entropy),
      peer,
      bootId,
      payload,
      decode,
      lane,
      onFault,
      onEnded() {
        if (sessions.get(peer) === session) sessions.delete(peer);
      },
    });
    sessions.set(peer, session);
    return session;
  }

  function introduce(session: ServerSession<In, Out>): void {
    try {
      onSession(session.facade);
    } catch (error) {
      onFault(session.facade.peer, error);
      session.end('crashed');
    }
  }

  async function closeAll(): Promise<void> {
    for (const greeting of greetings) greeting.cancel();
    for (const session of sessions.values()) session.end('shutdown');
    if (sockets.size === 0) return;
    await new Promise<void>((resolve) => {
      const patience = host.scheduler.after(limits.farewellMs, () => {
        for (const socket of sockets) socket.abort?.();
        resolve();
      });
      onQuiet = () => {
        patience.cancel();
        resolve();
      };
    });
  }

  return {
    accept,
    close: () => (closing ??= closeAll()),
  };
}
