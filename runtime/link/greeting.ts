import type { Host } from '#runtime/kernel/host.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import {
  freshNonce,
  readPayload,
  signRefused,
  writeChallenge,
  writeRefused,
  type Asked,
  type Challenge,
  type Entropy,
  type RefusalReason,
} from './handshake.ts';
import { readIntroduction, type Introduction } from './introduction.ts';
import type { LinkLimits } from './limits.ts';
import { CLOSE, type SocketLike } from './socket.ts';
import { commonVersion, markNonce, noCommonVersion, type VersionRange } from './version.ts';
import { LinkViolation } from './violation.ts';

/**
 * The server's half of the handshake on one socket: challenged, asking (who is that peer?), then over: greeted, refused or
 * dropped. A stranger can make it hold one hello for at most `handshakeMs`, no more.
 */

/** What `authenticate` answers: the peer's enrolled key (32 bytes, or 64 lower-case hex digits), or why it has none. */
export type Authentication = { readonly publicKey: Uint8Array | string } | { readonly refuse: string };

/**
 * Looks the peer up. `hello` is the owner's part of the hello and not authenticated at this moment: don't act on it.
 * The text of `refuse` reaches this side's `onRefused` only; the peer cannot tell it from a wrong signature.
 */
export type Authenticate = (peer: string, hello: unknown) => Promise<Authentication>;

/** A peer that has proved its key. */
export interface Greeted {
  readonly introduction: Introduction;
  readonly payload: unknown;
  readonly asked: Asked;
  /** Rises with each hello that arrives at this server. */
  readonly generation: number;
}

/** Takes what a socket says. */
export interface Receiver {
  receive(data: Uint8Array): void;
  /** `reason` is what the other side said when it closed, if anything. */
  socketClosed(reason?: string): void;
}

export interface GreetingOptions {
  readonly host: Host;
  readonly versions: VersionRange;
  readonly limits: LinkLimits;
  readonly key: KeyPair;
  readonly entropy: Entropy;
  readonly socket: SocketLike;
  readonly authenticate: Authenticate;
  readonly nextGeneration: () => number;
  /** Called once when the peer proved its key; the socket is then the caller's. */
  readonly onGreeted: (greeted: Greeted) => void;
  /** Called once when it came to nothing. `peer` is what the stranger claimed, undefined when it said nothing that could be read. */
  readonly onFailed: (peer: string | undefined, why: string) => void;
}

export interface Greeting extends Receiver {
  /** Ends it: the server closes. */
  cancel(): void;
}

/** A key of no peer (RFC 8032, test 1). Verifying against it makes the unknown peer wait as long as the known one; the verdict is not used. */
const NOBODY = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';

export function createGreeting(options: GreetingOptions): Greeting {
  const { host, limits, key, entropy, socket, versions } = options;
  const challenge: Challenge = {
    protocol: versions.min,
    serverKey: key.publicKey,
    nonce: markNonce(freshNonce(entropy), versions),
  };
  let state: 'challenged' | 'asking' | 'over' = 'challenged';
  let peer: string | undefined;
  const deadline = host.scheduler.after(limits.handshakeMs, () => fail('the handshake took too long', CLOSE.refused));

  function finish(): boolean {
    if (state === 'over') return false;
    state = 'over';
    deadline.cancel();
    return true;
  }

  function fail(why: string, code: number): void {
    if (!finish()) return;
    socket.close(code);
    options.onFailed(peer, why);
  }

  function refuse(reason: RefusalReason, asked: Asked, why: string): void {
    if (!finish()) return;
    sendRefusal(socket, reason, asked, key);
    options.onFailed(peer, why);
  }

  function receive(data: Uint8Array): void {
    // Between hello and welcome there is nothing to say; what is lost here, the numbering of the frames finds out.
    if (state !== 'challenged') return;
    state = 'asking';
    try {
      if (data.length > limits.helloBytes)
        throw new LinkViolation(`A hello of ${data.length} bytes is over the limit of ${limits.helloBytes}.`);
      const helloFrame = Uint8Array.from(data);
      const { introduction, provedBy } = readIntroduction(helloFrame);
      peer = introduction.peer;
      const asked = { challenge, helloFrame };
      void ask(introduction, asked, readPayload(introduction.payload), (publicKey) => provedBy(publicKey, challenge));
    } catch (error) {
      fail(error instanceof Error ? error.message : String(error), CLOSE.violation);
    }
  }

  async function ask(introduction: Introduction, asked: Asked, payload: unknown, provedBy: (publicKey: string) => boolean): Promise<void> {
    const { version } = introduction;
    if (version < versions.min || version > versions.max) {
      const reason = noCommonVersion(versions, introduction.versions);
      return refuse(reason, asked, reason);
    }
    if (version !== commonVersion(versions, introduction.versions))
      return fail('it chose an older version of the protocol than it speaks', CLOSE.violation);
    const generation = options.nextGeneration();
    let answer: Authentication;
    try {
      answer = await options.authenticate(introduction.peer, payload);
    } catch (error) {
      return refuse('unavailable', asked, `the look-up failed: ${error instanceof Error ? error.message : String(error)}`);
    }
    const proved = provedBy('publicKey' in answer ? hex(answer.publicKey) : NOBODY);
    if ('refuse' in answer) return refuse('unauthenticated', asked, answer.refuse);
    if (!proved) return refuse('unauthenticated', asked, 'the signature is not by the key of this peer');
    if (finish()) options.onGreeted({ introduction, payload, asked, generation });
  }

  socket.send(writeChallenge(challenge));
  return {
    receive,
    socketClosed(reason = '') {
      if (finish()) options.onFailed(peer, reason === '' ? 'the socket closed' : `the socket closed: ${reason}`);
    },
    cancel: () => fail('the server closes', CLOSE.goingAway),
  };
}

/** Answers the hello with a signed refusal and closes the socket. */
export function sendRefusal(socket: SocketLike, reason: RefusalReason, asked: Asked, key: KeyPair): void {
  socket.send(writeRefused(signRefused(reason, asked, key)));
  socket.close(CLOSE.refused, reason);
}

function hex(publicKey: Uint8Array | string): string {
  return typeof publicKey === 'string' ? publicKey : Buffer.from(publicKey).toString('hex');
}
