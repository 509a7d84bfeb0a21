import { z } from 'zod';

import type { KeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';
import { createCodec } from './codec.ts';
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
import { LinkViolation } from './violation.ts';

/**
 * Hello and welcome from version 2 on:
 *
 *     hello { body, signature }     body: protocol, versions, peer, bootId, sessionId, position, window, nonce, payload
 *     welcome { body, signature }   body: sessionId, generation, resumed, position, window
 *
 * The body is signed as the bytes that it is. `position` says how far the messages of the other end have come, `window` how much
 * more of them this end takes than it has consumed; each for both lanes.
 */
const Version = z.number().int().min(1).max(255);
const Position = z
  .strictObject({ seen: Seq, consumed: Seq, partial: z.number().int().min(0).max(0xffff_ffff) })
  .refine(({ seen, consumed }) => consumed <= seen, 'more is consumed than was seen');
const Window = z.strictObject({ bytes: z.number().int().min(1), messages: z.number().int().min(1) });
const Positions = z.strictObject({ control: Position, data: Position });
const Windows = z.strictObject({ control: Window, data: Window });

const HelloBody = z.strictObject({
  protocol: Protocol,
  versions: z.strictObject({ min: Version, max: Version }),
  peer: z.string().min(1).max(200),
  bootId: z.string().min(1).max(64),
  sessionId: SessionId.nullable(),
  position: Positions,
  window: Windows,
  nonce: Nonce,
  payload: Bytes,
});
const WelcomeBody = z.strictObject({
  sessionId: SessionId,
  generation: z.number().int().min(1).max(0xffff_ffff),
  resumed: z.boolean(),
  position: Positions,
  window: Windows,
});
export type HelloBody = z.infer<typeof HelloBody>;
export type WelcomeBody = z.infer<typeof WelcomeBody>;

const Signed = z.strictObject({ body: Bytes, signature: Signature });

export function writeHello(hello: HelloBody, challenge: Challenge, key: KeyPair): Uint8Array {
  const body = createCodec().encode(hello);
  return writeHandshake(HANDSHAKE.hello2, { body, signature: key.sign(helloTranscript(body, challenge, key.publicKey)) });
}

/** Throws `LinkViolation`. Not to be believed before `provedBy` has said yes to the peer's own key. */
export function readHello(frame: Uint8Array): { hello: HelloBody; provedBy: (publicKey: string, challenge: Challenge) => boolean } {
  const { body, signature } = readHandshake(HANDSHAKE.hello2, Signed, frame);
  return {
    hello: readBody(HelloBody, body),
    provedBy: (publicKey, challenge) => verify(signature, helloTranscript(body, challenge, publicKey), publicKey),
  };
}

export function writeWelcome(welcome: WelcomeBody, asked: Asked, key: KeyPair): Uint8Array {
  const body = createCodec().encode(welcome);
  return writeHandshake(HANDSHAKE.welcome2, { body, signature: key.sign(welcomeTranscript(body, asked)) });
}

/** Throws `LinkViolation`, also when the pinned key did not sign it. */
export function readWelcome(frame: Uint8Array, asked: Asked, serverKey: string): WelcomeBody {
  const { body, signature } = readHandshake(HANDSHAKE.welcome2, Signed, frame);
  if (!verify(signature, welcomeTranscript(body, asked), serverKey)) throw new LinkViolation('The welcome is not signed by the server.');
  return readBody(WelcomeBody, body);
}

function readBody<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  const result = schema.safeParse(createCodec().decode(bytes));
  if (!result.success) throw new LinkViolation(`A frame of the handshake is malformed: ${z.prettifyError(result.error)}`);
  return result.data;
}

function helloTranscript(body: Uint8Array, challenge: Challenge, publicKey: string): Uint8Array {
  return transcript('corpgrid.link.hello.v2', [challenge.protocol, challenge.serverKey, challenge.nonce, publicKey, body]);
}

function welcomeTranscript(body: Uint8Array, { challenge, helloFrame }: Asked): Uint8Array {
  return transcript('corpgrid.link.welcome.v2', [challenge.protocol, challenge.serverKey, challenge.nonce, helloFrame, body]);
}
