import type { KeyPair } from '#runtime/identity/keys.ts';
import { HANDSHAKE, type Asked, type Challenge } from './handshake.ts';
import * as first from './handshake-v1.ts';
import * as second from './handshake-v2.ts';
import { START, type LanePosition, type LaneWindow, type PerLane } from './lane.ts';
import { FIRST_VERSION, VERSIONS, type VersionRange } from './version.ts';
import { LinkViolation } from './violation.ts';

/** What a hello says, whichever version it is written in. */
export interface Introduction {
  /** The version that the client chose: this very hello is written in it. */
  readonly version: number;
  readonly versions: VersionRange;
  readonly peer: string;
  readonly bootId: string;
  readonly sessionId: string | null;
  readonly position: PerLane<LanePosition>;
  /** Undefined where the version has no word for it: then both ends run with the same limits. */
  readonly window: PerLane<LaneWindow> | undefined;
  /** The owner's part, encoded. */
  readonly payload: Uint8Array;
}

/** What a welcome says, whichever version it is written in. */
export interface Reception {
  readonly sessionId: string;
  readonly generation: number;
  readonly resumed: boolean;
  readonly position: PerLane<LanePosition>;
  readonly window: PerLane<LaneWindow> | undefined;
}

/** A hello that arrived: what it says, and the check that the peer's key has signed it. Throws `LinkViolation`. */
export function readIntroduction(frame: Uint8Array): {
  introduction: Introduction;
  provedBy: (publicKey: string, challenge: Challenge) => boolean;
} {
  if (frame[0] === HANDSHAKE.hello) {
    const hello = first.readHello(frame);
    const { protocol, peer, bootId, sessionId, payload } = hello;
    if (protocol > FIRST_VERSION && protocol <= VERSIONS.max)
      throw new LinkViolation(`A hello of version ${protocol} is written as of version 1.`);
    return {
      introduction: {
        version: protocol,
        versions: { min: protocol, max: protocol },
        peer,
        bootId,
        sessionId,
        position: oneLane(hello.lastSeqSeen),
        window: undefined,
        payload,
      },
      provedBy: (publicKey, challenge) => first.verifyHello(hello, challenge, publicKey),
    };
  }
  const { hello, provedBy } = second.readHello(frame);
  if (hello.protocol <= FIRST_VERSION) throw new LinkViolation('A hello of version 1 is written as of a later one.');
  return { introduction: { ...hello, version: hello.protocol }, provedBy };
}

/** The hello's frame, in the version that the introduction names. `window` must not be undefined from version 2 on. */
export function writeIntroduction(
  { version, window, position, ...said }: Introduction,
  nonce: Uint8Array,
  challenge: Challenge,
  key: KeyPair,
): Uint8Array {
  if (version === FIRST_VERSION || window === undefined) {
    const { peer, bootId, sessionId, payload } = said;
    const hello = { protocol: FIRST_VERSION, peer, bootId, sessionId, lastSeqSeen: position.data.seen, nonce, payload };
    return first.writeHello(first.signHello(hello, challenge, key));
  }
  return second.writeHello({ ...said, protocol: version, position, window, nonce }, challenge, key);
}

/** The answer to our hello. Throws `LinkViolation`, also when it is not signed by the pinned key. */
export function readReception(version: number, frame: Uint8Array, asked: Asked, serverKey: string): Reception {
  if (version !== FIRST_VERSION) return second.readWelcome(frame, asked, serverKey);
  const welcome = first.readWelcome(frame);
  if (!first.verifyWelcome(welcome, asked, serverKey)) throw new LinkViolation('The welcome is not signed by the server.');
  const { sessionId, generation, resumed, lastSeqSeen } = welcome;
  return { sessionId, generation, resumed, position: oneLane(lastSeqSeen), window: undefined };
}

/** The welcome's frame, in the version of the hello. `window` must not be undefined from version 2 on. */
export function writeReception(version: number, { window, position, ...said }: Reception, asked: Asked, key: KeyPair): Uint8Array {
  if (version === FIRST_VERSION || window === undefined)
    return first.writeWelcome(first.signWelcome({ ...said, lastSeqSeen: position.data.seen }, asked, key));
  return second.writeWelcome({ ...said, position, window }, asked, key);
}

/** Version 1 has the data lane only, and takes what it has delivered for consumed. */
function oneLane(seen: number): PerLane<LanePosition> {
  return { control: START, data: { seen, consumed: seen, partial: 0 } };
}
