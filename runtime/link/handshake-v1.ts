import { z } from 'zod';

import type { KeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';
import {
  Bytes,
  HANDSHAKE,
  Nonce,
  Protocol,
  readHandshake,
  Seq,
  SessionId,
  Signature,
  transcript,
  writeHandshake,
  type Asked,
  type Challenge,
} from './handshake.ts';

/**
 * Hello and welcome of version 1, for peers one release back:
 *
 *     hello { protocol, peer, bootId, sessionId, lastSeqSeen, nonce, payload, signature }
 *     welcome { sessionId, generation, lastSeqSeen, resumed, signature }
 */
const Hello = z.strictObject({
  protocol: Protocol,
  peer: z.string().min(1).max(200),
  /** Changes with each start of the client's process: a session never outlives the memory it belongs to. */
  bootId: z.string().min(1).max(64),
  sessionId: SessionId.nullable(),
  lastSeqSeen: Seq,
  nonce: Nonce,
  /** The owner's part, encoded: the signature covers bytes. */
  payload: Bytes,
  signature: Signature,
});
const Welcome = z.strictObject({
  sessionId: SessionId,
  generation: z.number().int().min(1).max(0xffff_ffff),
  lastSeqSeen: Seq,
  resumed: z.boolean(),
  signature: Signature,
});
export type Hello = z.infer<typeof Hello>;
export type Welcome = z.infer<typeof Welcome>;

export const writeHello = (hello: Hello): Uint8Array => writeHandshake(HANDSHAKE.hello, hello);
export const writeWelcome = (welcome: Welcome): Uint8Array => writeHandshake(HANDSHAKE.welcome, welcome);

/** Throws `LinkViolation`. */
export const readHello = (frame: Uint8Array): Hello => readHandshake(HANDSHAKE.hello, Hello, frame);
export const readWelcome = (frame: Uint8Array): Welcome => readHandshake(HANDSHAKE.welcome, Welcome, frame);

export type UnsignedHello = Omit<Hello, 'signature'>;

export function signHello(hello: UnsignedHello, challenge: Challenge, key: KeyPair): Hello {
  return { ...hello, signature: key.sign(helloTranscript(hello, challenge, key.publicKey)) };
}

export function verifyHello(hello: Hello, challenge: Challenge, publicKey: string): boolean {
  return verify(hello.signature, helloTranscript(hello, challenge, publicKey), publicKey);
}

export type UnsignedWelcome = Omit<Welcome, 'signature'>;

export function signWelcome(welcome: UnsignedWelcome, asked: Asked, key: KeyPair): Welcome {
  return { ...welcome, signature: key.sign(welcomeTranscript(welcome, asked)) };
}

/** Against the pinned key, not against the one that the challenge claims. */
export function verifyWelcome(welcome: Welcome, asked: Asked, serverKey: string): boolean {
  return verify(welcome.signature, welcomeTranscript(welcome, asked), serverKey);
}

function helloTranscript(hello: UnsignedHello, challenge: Challenge, publicKey: string): Uint8Array {
  return transcript('corpgrid.link.hello.v1', [
    challenge.protocol,
    challenge.serverKey,
    challenge.nonce,
    hello.protocol,
    hello.peer,
    publicKey,
    hello.bootId,
    hello.sessionId ?? '',
    hello.lastSeqSeen,
    hello.nonce,
    hello.payload,
  ]);
}

function welcomeTranscript(welcome: UnsignedWelcome, { challenge, helloFrame }: Asked): Uint8Array {
  return transcript('corpgrid.link.welcome.v1', [
    challenge.protocol,
    challenge.serverKey,
    challenge.nonce,
    helloFrame,
    welcome.sessionId,
    welcome.generation,
    welcome.lastSeqSeen,
    welcome.resumed ? 1 : 0,
  ]);
}
