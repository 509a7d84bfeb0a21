import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { generateKeyPair } from '#runtime/identity/keys.ts';
import { readPayload, readRefused, signRefused, verifyRefused, writePayload, type Asked, type Challenge } from '#runtime/link/handshake.ts';
import {
  readHello,
  readWelcome,
  signHello,
  signWelcome,
  verifyHello,
  verifyWelcome,
  type UnsignedHello,
  type UnsignedWelcome,
} from '#runtime/link/handshake-v1.ts';
import { LinkViolation } from '#runtime/link/violation.ts';
import { seededEntropy } from '#tests/support/link-pair.ts';

const serverKey = generateKeyPair(seededEntropy(1));
const peerKey = generateKeyPair(seededEntropy(2));
const otherKey = generateKeyPair(seededEntropy(3));
const nonce = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const challenge: Challenge = { protocol: 1, serverKey: serverKey.publicKey, nonce: nonce(1) };
const hello: UnsignedHello = {
  protocol: 1,
  peer: 'agent',
  bootId: 'boot',
  sessionId: 'ab'.repeat(16),
  lastSeqSeen: 7,
  nonce: nonce(2),
  payload: writePayload({ slots: 4 }),
};
const asked: Asked = { challenge, helloFrame: Uint8Array.of(17, 1, 2, 3) };
const welcome: UnsignedWelcome = { sessionId: 'cd'.repeat(16), generation: 3, lastSeqSeen: 9, resumed: true };

describe('signatures of the handshake', () => {
  it('hold for what was signed', () => {
    expect(verifyHello(signHello(hello, challenge, peerKey), challenge, peerKey.publicKey)).toBe(true);
    expect(verifyWelcome(signWelcome(welcome, asked, serverKey), asked, serverKey.publicKey)).toBe(true);
    expect(verifyRefused(signRefused('stale', asked, serverKey), asked, serverKey.publicKey)).toBe(true);
  });

  it('of a hello cover every field of it, the challenge and both keys', () => {
    const signed = signHello(hello, challenge, peerKey);
    const changes: Partial<UnsignedHello>[] = [
      { protocol: 2 },
      { peer: 'agent2' },
      { bootId: 'boot2' },
      { sessionId: null },
      { lastSeqSeen: 8 },
      { nonce: nonce(3) },
      { payload: writePayload({ slots: 5 }) },
      // The border between two fields moves, the bytes together stay the same.
      { peer: 'agentb', bootId: 'oot' },
    ];
    for (const change of changes) expect(verifyHello({ ...signed, ...change }, challenge, peerKey.publicKey)).toBe(false);
    expect(verifyHello(signed, { ...challenge, nonce: nonce(9) }, peerKey.publicKey)).toBe(false);
    expect(verifyHello(signed, { ...challenge, serverKey: otherKey.publicKey }, peerKey.publicKey)).toBe(false);
    expect(verifyHello(signed, { ...challenge, protocol: 2 }, peerKey.publicKey)).toBe(false);
    expect(verifyHello(signed, challenge, otherKey.publicKey)).toBe(false);
  });

  it('of the server cover its answer, its challenge and the bytes of the hello', () => {
    const signed = signWelcome(welcome, asked, serverKey);
    const changes: Partial<UnsignedWelcome>[] = [{ sessionId: 'ce'.repeat(16) }, { generation: 4 }, { lastSeqSeen: 8 }, { resumed: false }];
    for (const change of changes) expect(verifyWelcome({ ...signed, ...change }, asked, serverKey.publicKey)).toBe(false);
    const others: Asked[] = [
      { challenge, helloFrame: Uint8Array.of(17, 1, 2, 4) },
      { challenge: { ...challenge, nonce: nonce(9) }, helloFrame: asked.helloFrame },
    ];
    for (const other of others) {
      expect(verifyWelcome(signed, other, serverKey.publicKey)).toBe(false);
      expect(verifyRefused(signRefused('stale', asked, serverKey), other, serverKey.publicKey)).toBe(false);
    }
    expect(verifyRefused({ ...signRefused('stale', asked, serverKey), reason: 'unauthenticated' }, asked, serverKey.publicKey)).toBe(false);
    expect(verifyWelcome(signed, asked, otherKey.publicKey)).toBe(false);
  });
});

describe('hostile handshake frames', () => {
  it('are refused by every reader, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(16, 17, 18, 19), (body, kind) => {
        const frame = Buffer.concat([Uint8Array.of(kind), body]);
        for (const read of [readHello, readWelcome, readRefused, readPayload]) {
          try {
            read(frame);
          } catch (error) {
            expect(error).toBeInstanceOf(LinkViolation);
          }
        }
      }),
      { seed: 6, numRuns: 2_000 },
    );
  });
});
