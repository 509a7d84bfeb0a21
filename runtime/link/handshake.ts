import { z } from 'zod';

import { sha256 } from '#runtime/identity/digest.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';
import { createCodec } from './codec.ts';
import { LinkViolation } from './violation.ts';

/**
 * Who is there? Both sides prove their Ed25519 key before any message flows.
 *
 *     server -> client   challenge { protocol, serverKey, nonce }             the nonce says which versions it speaks: version.ts
 *     client -> server   hello, in the highest version that both speak        handshake-v1.ts, handshake-v2.ts
 *     server -> client   welcome, in the same version   or   refused { reason, signature }
 *
 * The hello's signature covers everything in it, the server's nonce and key, and the client's own key: it fits this server, this
 * connection and this key only, so a recorded hello is worth nothing. The server's signature covers its answer, its nonce and
 * the hello's exact bytes (with the client's nonce in them): a recorded answer is worth nothing either. Each kind of signature
 * has its own domain, so that none can be passed off as another or as a vote.
 *
 * The handshake proves identity and freshness. It hides nothing and does not protect the frames after it: that is TLS's part.
 * Challenge and refusal look the same in every version: they are what ends without a common version still understand.
 */
const NONCE_BYTES = 32;
export const Protocol = z.number().int().min(0).max(0xffff);
export const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes');
export const Nonce = Bytes.refine((bytes) => bytes.length === NONCE_BYTES, `expected ${NONCE_BYTES} bytes`);
export const Signature = Bytes.refine((bytes) => bytes.length === 64, 'expected 64 bytes');
export const SessionId = z.string().regex(/^[0-9a-f]{32}$/);
/** 48 bits, as in the frame's header. */
export const Seq = z
  .number()
  .int()
  .min(0)
  .max(2 ** 48 - 1);

const Challenge = z.strictObject({ protocol: Protocol, serverKey: z.string().regex(/^[0-9a-f]{64}$/), nonce: Nonce });
/** `unauthenticated` never says why: an unknown peer, a revoked one and a bad signature look the same from outside. */
const Refused = z.strictObject({ reason: z.string().min(1).max(64), signature: Signature });

export type Challenge = z.infer<typeof Challenge>;
export type Refused = z.infer<typeof Refused>;

/** The reasons in a server's refusal. */
export type RefusalReason = 'unauthenticated' | `version: ${string}` | 'unavailable' | 'stale';

/** Answers that many unpredictable bytes. */
export type Entropy = (count: number) => Uint8Array;

export function freshNonce(entropy: Entropy): Uint8Array {
  return entropy(NONCE_BYTES);
}

export function freshId(entropy: Entropy): string {
  return Buffer.from(entropy(16)).toString('hex');
}

/** Fills the frame's body with bytes that stand alone; `readPayload` undoes it. */
export function writePayload(payload: unknown): Uint8Array {
  return createCodec().encode(payload);
}

/** Throws `LinkViolation`. */
export function readPayload(bytes: Uint8Array): unknown {
  return createCodec().decode(bytes);
}

// Frames: the kind, then one MessagePack object. Readers throw LinkViolation.

export const HANDSHAKE = { challenge: 16, hello: 17, welcome: 18, refused: 19, hello2: 20, welcome2: 21 } as const;

export const writeChallenge = (challenge: Challenge): Uint8Array => writeHandshake(HANDSHAKE.challenge, challenge);
export const writeRefused = (refused: Refused): Uint8Array => writeHandshake(HANDSHAKE.refused, refused);

export const readChallenge = (frame: Uint8Array): Challenge => readHandshake(HANDSHAKE.challenge, Challenge, frame);
export const readRefused = (frame: Uint8Array): Refused => readHandshake(HANDSHAKE.refused, Refused, frame);

export const isChallenge = (frame: Uint8Array): boolean => frame[0] === HANDSHAKE.challenge;
export const isRefused = (frame: Uint8Array): boolean => frame[0] === HANDSHAKE.refused;

/** Kind, then the fields. */
export function writeHandshake(kind: number, fields: object): Uint8Array {
  return Buffer.concat([Uint8Array.of(kind), createCodec().encode(fields)]);
}

/** Throws `LinkViolation` for anything but a frame of that kind and shape. */
export function readHandshake<T>(kind: number, schema: z.ZodType<T>, frame: Uint8Array): T {
  if (frame[0] !== kind) throw new LinkViolation(`A frame of kind ${frame[0] ?? 'none'} came in the handshake instead of ${kind}.`);
  const result = schema.safeParse(createCodec().decode(frame.subarray(1)));
  if (!result.success) throw new LinkViolation(`A frame of the handshake is malformed: ${z.prettifyError(result.error)}`);
  return result.data;
}

// Signatures.

/** What the server answers to: its own challenge and the hello as it arrived, byte for byte. */
export interface Asked {
  readonly challenge: Challenge;
  readonly helloFrame: Uint8Array;
}

export function signRefused(reason: RefusalReason, asked: Asked, key: KeyPair): Refused {
  return { reason, signature: key.sign(refusedTranscript(reason, asked)) };
}

export function verifyRefused(refused: Refused, asked: Asked, serverKey: string): boolean {
  return verify(refused.signature, refusedTranscript(refused.reason, asked), serverKey);
}

function refusedTranscript(reason: string, { challenge, helloFrame }: Asked): Uint8Array {
  return transcript('corpgrid.link.refused.v1', [challenge.protocol, challenge.serverKey, challenge.nonce, helloFrame, reason]);
}

/** The domain, a zero byte, and the SHA-256 over the fields, each with its length before it: no two lists of fields run together. */
export function transcript(domain: string, fields: readonly (string | number | Uint8Array)[]): Uint8Array {
  const parts = fields.flatMap((field) => {
    const bytes = field instanceof Uint8Array ? field : Buffer.from(String(field));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat([Buffer.from(`${domain}\0`), sha256(Buffer.concat(parts))]);
}
