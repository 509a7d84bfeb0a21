import { GridError } from '#runtime/errors.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import type { Receiver } from './greeting.ts';
import {
  freshNonce,
  isChallenge,
  isRefused,
  readChallenge,
  readRefused,
  verifyRefused,
  writePayload,
  type Asked,
  type Entropy,
} from './handshake.ts';
import { readReception, writeIntroduction, type Introduction, type Reception } from './introduction.ts';
import type { LinkLimits } from './limits.ts';
import { messageSize } from './message-size.ts';
import { CLOSE, type SocketLike } from './socket.ts';
import { commonVersion, noCommonVersion, rangeOf, type VersionRange } from './version.ts';
import { LinkViolation } from './violation.ts';

/**
 * The client's half of the handshake, one try: dialling, then waiting for the challenge, then for the answer, then over:
 * welcomed, refused or failed. Nothing but the hello is sent before the server has proved the pinned key.
 */

export interface AttemptOptions {
  readonly host: Host;
  readonly limits: LinkLimits;
  readonly versions: VersionRange;
  readonly peer: string;
  readonly key: KeyPair;
  /** The key that the server must have: 64 lower-case hex digits. */
  readonly serverKey: string;
  readonly entropy: Entropy;
  readonly bootId: string;
  readonly connect: () => SocketLike | Promise<SocketLike>;
  /** What the hello says about the session that is to be resumed in that version, and the owner's part. */
  readonly state: (version: number) => Pick<Introduction, 'sessionId' | 'position' | 'window'> & { readonly payload: unknown };
  /** The server proved its key and took us in. Throws `LinkViolation` when its answer cannot be. */
  readonly onWelcome: (socket: SocketLike, version: number, reception: Reception) => Receiver;
  /** A server's own signed reason, or one of ours: `wrong-server`, `version: ...`. */
  readonly onRefused: (reason: string) => void;
  /** No server there, or none that can be understood. */
  readonly onFailed: (error: unknown) => void;
}

export interface Attempt {
  /** Ends it without a word. */
  cancel(): void;
}

export function createAttempt(options: AttemptOptions): Attempt {
  const { host, limits, versions, key, serverKey, entropy } = options;
  let over = false;
  let socket: SocketLike | undefined;
  let asked: (Asked & { readonly version: number }) | undefined;
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
    // The server's log should say why as well.
    socket?.close(CLOSE.refused, reason);
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

  function answerChallenge(to: SocketLike, data: Uint8Array): typeof asked {
    const challenge = readChallenge(data);
    const version = commonVersion(rangeOf(challenge), versions);
    if (version === undefined) {
      refused(noCommonVersion(rangeOf(challenge), versions));
      return undefined;
    }
    if (challenge.serverKey !== serverKey) {
      refused('wrong-server');
      return undefined;
    }
    const { payload, ...session } = options.state(version);
    messageSize(payload, limits.messageBytes);
    const { peer, bootId } = options;
    const introduction = { ...session, version, versions, peer, bootId, payload: writePayload(payload) };
    const helloFrame = writeIntroduction(introduction, freshNonce(entropy), challenge, key);
    if (helloFrame.length > limits.helloBytes)
      throw new GridError('TOO_LARGE', `The hello has ${helloFrame.length} bytes; the limit is ${limits.helloBytes}.`);
    to.send(helloFrame);
    return { challenge, helloFrame, version };
  }

  function readRefusal(data: Uint8Array, to: Asked): void {
    const refusal = readRefused(data);
    if (!verifyRefused(refusal, to, serverKey)) throw new LinkViolation('A refusal is not signed by the server.');
    refused(refusal.reason);
  }

  function enter(from: SocketLike, data: Uint8Array, to: Asked & { readonly version: number }): Receiver | undefined {
    const reception = readReception(to.version, data, to, serverKey);
    if (!finish()) return undefined;
    return options.onWelcome(from, to.version, reception);
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
