import { GridError } from '#runtime/errors.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import type { Receiver } from './greeting.ts';
import {
  freshNonce,
  isChallenge,
  isRefused,
  PROTOCOL,
  readChallenge,
  readRefused,
  readWelcome,
  signHello,
  verifyRefused,
  verifyWelcome,
  writeHello,
  writePayload,
  type Asked,
  type Entropy,
  type Welcome,
} from './handshake.ts';
import type { LinkLimits } from './limits.ts';
import { messageSize } from './message-size.ts';
import { CLOSE, type SocketLike } from './socket.ts';
import { LinkViolation } from './violation.ts';

/**
 * The client's half of the handshake, one try: dialling, then waiting for the challenge, then for the answer, then over:
 * welcomed, refused or failed. Nothing but the hello is sent before the server has proved the pinned key.
 */

export interface AttemptOptions {
  readonly host: Host;
  readonly limits: LinkLimits;
  readonly peer: string;
  readonly key: KeyPair;
  /** The key that the server must have: 64 lower-case hex digits. */
  readonly serverKey: string;
  readonly entropy: Entropy;
  readonly bootId: string;
  readonly connect: () => SocketLike | Promise<SocketLike>;
  /** What the hello says about the session that is to be resumed, and the owner's part. */
  readonly state: () => { readonly sessionId: string | null; readonly lastSeqSeen: number; readonly payload: unknown };
  /** The server proved its key and took us in. Throws `LinkViolation` when its answer cannot be. */
  readonly onWelcome: (socket: SocketLike, welcome: Welcome) => Receiver;
  /** A server's own signed reason, or one of ours: `wrong-server`, `version`. */
  readonly onRefused: (reason: string) => void;
  /** No server there, or none that can be understood. */
  readonly onFailed: (error: unknown) => void;
}

export interface Attempt {
  /** Ends it without a word. */
  cancel(): void;
}

export function createAttempt(options: AttemptOptions): Attempt {
  const { host, limits, key, serverKey, entropy } = options;
  let over = false;
  let socket: SocketLike | undefined;
  let asked: Asked | undefined;
  const deadline = host.scheduler.after(limits.handshakeMs, () => {
    fail(new LinkViolation(`The server did not welcome us within ${limits.handshakeMs} ms.`));
  });

  function finish(): boolean {
    if (over) return false;
    over = true;
    deadline.cancel();
    return true;
  }

  function fail(error: unknown): void {
    if (!finish()) return;
    if (socket !== undefined) drop(socket);
    options.onFailed(error);
  }

  function refused(reason: string): void {
    if (!finish()) return;
    socket?.close(CLOSE.normal);
    options.onRefused(reason);
  }

  async function dial(): Promise<void> {
    let dialled: SocketLike;
    try {
      dialled = await options.connect();
    } catch (error) {
      return fail(error);
    }
    if (over) return drop(dialled);
    socket = dialled;
    let receiver: Receiver = {
      receive: (data) => (receiver = receive(dialled, data) ?? receiver),
      socketClosed: () => fail(new LinkViolation('The socket closed during the handshake.')),
    };
    dialled.onMessage((data) => receiver.receive(data));
    dialled.onClose(() => receiver.socketClosed());
  }

  function receive(from: SocketLike, data: Uint8Array): Receiver | undefined {
    if (over) return undefined;
    try {
      if (data.length > limits.helloBytes) throw new LinkViolation(`A frame of ${data.length} bytes came in the handshake.`);
      if (asked === undefined) {
        asked = answerChallenge(from, data);
        return undefined;
      }
      if (isChallenge(data)) return undefined;
      if (isRefused(data)) {
        readRefusal(data, asked);
        return undefined;
      }
      return enter(from, data, asked);
    } catch (error) {
      fail(error);
      return undefined;
    }
  }

  function answerChallenge(to: SocketLike, data: Uint8Array): Asked | undefined {
    const challenge = readChallenge(data);
    if (challenge.protocol !== PROTOCOL) {
      refused('version');
      return undefined;
    }
    if (challenge.serverKey !== serverKey) {
      refused('wrong-server');
      return undefined;
    }
    const { sessionId, lastSeqSeen, payload } = options.state();
    messageSize(payload, limits.messageBytes);
    const unsigned = {
      protocol: PROTOCOL,
      peer: options.peer,
      bootId: options.bootId,
      sessionId,
      lastSeqSeen,
      nonce: freshNonce(entropy),
      payload: writePayload(payload),
    };
    const helloFrame = writeHello(signHello(unsigned, challenge, key));
    if (helloFrame.length > limits.helloBytes)
      throw new GridError('TOO_LARGE', `The hello has ${helloFrame.length} bytes; the limit is ${limits.helloBytes}.`);
    to.send(helloFrame);
    return { challenge, helloFrame };
  }

  function readRefusal(data: Uint8Array, to: Asked): void {
    const refusal = readRefused(data);
    if (!verifyRefused(refusal, to, serverKey)) throw new LinkViolation('A refusal is not signed by the server.');
    refused(refusal.reason);
  }

  function enter(from: SocketLike, data: Uint8Array, to: Asked): Receiver | undefined {
    const welcome = readWelcome(data);
    if (!verifyWelcome(welcome, to, serverKey)) throw new LinkViolation('The welcome is not signed by the server.');
    if (!finish()) return undefined;
    return options.onWelcome(from, welcome);
  }

  void dial();
  return {
    cancel() {
      if (finish() && socket !== undefined) drop(socket);
    },
  };
}

function drop(socket: SocketLike): void {
  if (socket.abort === undefined) socket.close(CLOSE.goingAway);
  else socket.abort();
}
