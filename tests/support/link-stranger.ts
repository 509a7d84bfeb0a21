import type { KeyPair } from '#runtime/identity/keys.ts';
import { createCodec, type Codec } from '#runtime/link/codec.ts';
import { frameLayout, KIND, type Header } from '#runtime/link/frame.ts';
import { readChallenge, writePayload, type Challenge } from '#runtime/link/handshake.ts';
import { signHello, writeHello, type UnsignedHello } from '#runtime/link/handshake-v1.ts';
import { seededEntropy, type LinkPair } from '#tests/support/link-pair.ts';
import type { Wire } from '#tests/support/link-wire.ts';

/** Somebody at the server's door who speaks version 1 of the link by hand, well or badly. */
export interface Stranger {
  readonly wire: Wire;
  readonly challenge: Challenge;
  /** What the server has sent so far. */
  readonly heard: Uint8Array[];
  readonly closed: boolean;
  readonly codec: Codec;
  hello(changes?: Partial<UnsignedHello>, key?: KeyPair): Uint8Array;
  /** A frame with the next number of this connection, unless told otherwise. */
  frame(header: Partial<Header>, body?: Uint8Array): Uint8Array;
  send(data: Uint8Array): Promise<void>;
}

export async function callAsStranger(pair: LinkPair): Promise<Stranger> {
  const wire = pair.dial();
  const heard: Uint8Array[] = [];
  const entropy = seededEntropy(99);
  let closed = false;
  let frames = 0;
  wire.client.onMessage((data) => void heard.push(data));
  wire.client.onClose(() => (closed = true));
  await pair.host.advance(5);
  const challenge = readChallenge(heard[0] ?? new Uint8Array(0));
  return {
    wire,
    challenge,
    heard,
    get closed() {
      return closed;
    },
    codec: createCodec(),
    hello(changes = {}, key = pair.clientKey) {
      const hello = {
        protocol: 1,
        peer: 'agent',
        bootId: 'boot',
        sessionId: null,
        lastSeqSeen: 0,
        nonce: entropy(32),
        payload: writePayload({ who: 'stranger' }),
      };
      return writeHello(signHello({ ...hello, ...changes }, challenge, key));
    },
    frame(header, body = new Uint8Array(0)) {
      frames += 1;
      const blank = { kind: KIND.data, lane: 'data', generation: 1, frame: frames, heard: 0, first: 0, controlAck: 0, ack: 0 } as const;
      return frameLayout(1).write({ ...blank, ...header }, body);
    },
    async send(data) {
      wire.client.send(data);
      await pair.host.advance(5);
    },
  };
}
