import * as noble from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { generateKeyPair } from '#runtime/identity/keys.ts';
import { isAdmissibleKey } from '#runtime/identity/signature-law.ts';
import { verify } from '#runtime/identity/verify.ts';
import { verifyPure } from '#runtime/identity/verify-pure.ts';

const { Point, etc } = noble;
type Point = noble.Point;
noble.hashes.sha512 = sha512;

const L = Point.CURVE().n;
const P = Point.CURVE().p;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function littleEndian(number: bigint): Uint8Array {
  return Uint8Array.from(Buffer.from(number.toString(16).padStart(64, '0'), 'hex').reverse());
}

function toNumber(bytes: Uint8Array): bigint {
  return BigInt(`0x${hex(Uint8Array.from(bytes).reverse())}`);
}

/** One verdict of two verifiers; that they agree is part of every test here. */
function verdict(signature: string | Uint8Array, message: Uint8Array, publicKey: string): boolean {
  const fast = verify(signature, message, publicKey);
  expect(verifyPure(signature, message, publicKey)).toBe(fast);
  return fast;
}

/** The third rule of the law without the first two. */
function equationAlone(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  const R = signature.subarray(0, 32);
  const k = etc.mod(toNumber(sha512(etc.concatBytes(R, publicKey, message))), L);
  const A = Point.fromBytes(publicKey, true);
  const expected = Point.BASE.multiply(toNumber(signature.subarray(32)), false).subtract(A.multiply(k, false));
  return hex(expected.toBytes()) === hex(R);
}

/** A generator of the eight points of small order: L times a point that is not in the prime-order subgroup. */
function torsionGenerator(): Point {
  for (let y = 2n; ; y++) {
    try {
      const point = Point.fromBytes(littleEndian(y));
      const torsion = point.multiply(L - 1n, false).add(point);
      if (!torsion.multiply(4n, false).is0()) return torsion;
    } catch {
      // No point has this y.
    }
  }
}

const generator = torsionGenerator();
const torsion = Array.from({ length: 8 }, (_, i) => generator.multiply(BigInt(i), false));

/** Signs by the textbook, with torsion added to R or to A at will. */
function signWith({
  message,
  secret = 7n,
  nonce = 11n,
  addToR = Point.ZERO,
  addToA = Point.ZERO,
  encodeR = (r: Point) => r.toBytes(),
}: {
  message: Uint8Array;
  secret?: bigint;
  nonce?: bigint;
  addToR?: Point;
  addToA?: Point;
  encodeR?: (r: Point) => Uint8Array;
}): { signature: Uint8Array; publicKey: string; k: bigint } {
  const A = Point.BASE.multiply(secret, false).add(addToA).toBytes();
  const R = encodeR(Point.BASE.multiply(nonce, false).add(addToR));
  const k = etc.mod(toNumber(sha512(etc.concatBytes(R, A, message))), L);
  const S = littleEndian(etc.mod(nonce + k * secret, L));
  return { signature: etc.concatBytes(R, S), publicKey: hex(A), k };
}

describe('RFC 8032, section 7.1', () => {
  it.each([
    [
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
      '',
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    ],
    [
      '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
      '72',
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    ],
    [
      'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025',
      'af82',
      '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
    ],
  ])('accepts the vector of key %s', (publicKey, message, signature) => {
    const bytes = Buffer.from(message, 'hex');
    expect(verdict(signature, bytes, publicKey)).toBe(true);
    expect(verdict(Buffer.from(signature, 'hex'), bytes, publicKey)).toBe(true);
    expect(verdict(signature, Buffer.concat([bytes, Buffer.from([0])]), publicKey)).toBe(false);
  });
});

describe('torsion', () => {
  const message = utf8('a vote');

  it('refuses a nonce point with a torsion component, which the library accepts even in its strict mode', () => {
    for (const point of torsion.slice(1)) {
      const { signature, publicKey } = signWith({ message, addToR: point });
      expect(noble.verify(signature, message, Buffer.from(publicKey, 'hex'), { zip215: false })).toBe(true);
      expect(verdict(signature, message, publicKey)).toBe(false);
    }
  });

  it('treats a key with a torsion component by the cofactorless equation: valid only where k cancels it', () => {
    const seen = new Set<boolean>();
    for (let i = 0; i < 40; i++) {
      const text = utf8(`message ${i}`);
      const { signature, publicKey, k } = signWith({ message: text, addToA: generator });
      expect(noble.verify(signature, text, Buffer.from(publicKey, 'hex'), { zip215: false })).toBe(true);
      expect(verdict(signature, text, publicKey)).toBe(k % 8n === 0n);
      seen.add(k % 8n === 0n);
    }
    expect(seen.size).toBe(2);
  });

  it('accepts torsion in R and A that cancels, and refuses it one step off', () => {
    let accepted = 0;
    for (let i = 0; i < 8; i++) {
      for (const point of torsion) {
        const text = utf8(`cancel ${i}`);
        const { signature, publicKey, k } = signWith({ message: text, addToA: generator, addToR: point });
        const cancels = generator
          .multiply(k % 8n, false)
          .negate()
          .equals(point);
        expect(verdict(signature, text, publicKey)).toBe(cancels);
        if (cancels) accepted++;
      }
    }
    expect(accepted).toBeGreaterThan(0);
  });
});

describe('keys of small order', () => {
  const canonical = torsion.map((point) => point.toBytes());
  // x = 0 with the sign bit set (y = 1 and y = -1), and y = 0 and y = 1 written as p and p + 1, with either sign.
  const nonCanonical = [
    littleEndian(1n | (1n << 255n)),
    littleEndian((P - 1n) | (1n << 255n)),
    littleEndian(P),
    littleEndian(P | (1n << 255n)),
    littleEndian(P + 1n),
    littleEndian((P + 1n) | (1n << 255n)),
  ];

  it('knows all 14 encodings', () => {
    expect(new Set([...canonical, ...nonCanonical].map(hex)).size).toBe(14);
    for (const key of [...canonical, ...nonCanonical]) expect(isAdmissibleKey(hex(key))).toBe(false);
    for (const key of nonCanonical) expect(Point.fromBytes(key, true).isSmallOrder()).toBe(true);
  });

  it('refuses every signature under them, also where the equation holds', () => {
    let solved = 0;
    for (const key of [...canonical, ...nonCanonical]) {
      for (let nonce = 1n; nonce <= 16n; nonce++) {
        const R = Point.BASE.multiply(nonce, false).toBytes();
        const message = utf8(`forged ${nonce}`);
        const signature = etc.concatBytes(R, littleEndian(nonce));
        if (equationAlone(signature, message, key)) solved++;
        expect(verdict(signature, message, hex(key))).toBe(false);
      }
    }
    // Anybody can make these: the reason for refusing such keys.
    expect(solved).toBeGreaterThan(16);
  });

  it('refuses them as R too, also where the equation holds', () => {
    let solved = 0;
    for (const encoding of [...canonical, ...nonCanonical]) {
      for (let i = 0; i < 16; i++) {
        const message = utf8(`nonce ${i}`);
        const { signature, publicKey } = signWith({ message, nonce: 0n, addToA: generator, encodeR: () => encoding });
        if (equationAlone(signature, message, Buffer.from(publicKey, 'hex'))) solved++;
        expect(verdict(signature, message, publicKey)).toBe(false);
      }
    }
    expect(solved).toBeGreaterThan(0);
  });
});

describe('encodings', () => {
  const message = utf8('encodings');

  it('refuses an S that is not reduced', () => {
    const { signature, publicKey } = signWith({ message });
    const S = toNumber(signature.subarray(32));
    for (const other of [S + L, S + 2n * L, S + 8n * L, S | (1n << 255n), L, (1n << 256n) - 1n]) {
      expect(verdict(etc.concatBytes(signature.subarray(0, 32), littleEndian(other)), message, publicKey)).toBe(false);
    }
    expect(verdict(signature, message, publicKey)).toBe(true);
  });

  it('takes S = 0 and S = L - 1 for the numbers they are', () => {
    const { signature, publicKey } = signWith({ message });
    for (const S of [0n, 1n, L - 1n])
      expect(verdict(etc.concatBytes(signature.subarray(0, 32), littleEndian(S)), message, publicKey)).toBe(false);
  });

  it('refuses every y that is not reduced, and every key off the curve', () => {
    const { signature } = signWith({ message });
    for (let i = 0n; i < 19n; i++) {
      for (const sign of [0n, 1n << 255n]) {
        expect(isAdmissibleKey(hex(littleEndian((P + i) | sign)))).toBe(false);
        expect(verdict(signature, message, hex(littleEndian((P + i) | sign)))).toBe(false);
        expect(verdict(signature, message, hex(littleEndian(i | sign)))).toBe(false);
      }
    }
  });

  it('refuses other lengths, upper case, and what is neither text nor bytes', () => {
    const { signature, publicKey } = signWith({ message });
    const text = hex(signature);
    for (const wrong of ['', text.slice(2), `${text}00`, text.toUpperCase(), `${text.slice(0, -1)}g`, ` ${text.slice(1)}`]) {
      expect(verdict(wrong, message, publicKey)).toBe(false);
    }
    for (const wrong of [new Uint8Array(0), signature.subarray(1), new Uint8Array(65)])
      expect(verdict(wrong, message, publicKey)).toBe(false);
    for (const wrong of ['', publicKey.slice(2), `${publicKey}00`, `${publicKey.slice(0, -1)}x`, publicKey.toUpperCase()]) {
      expect(verdict(signature, message, wrong)).toBe(false);
    }
    const hostile: unknown[] = [null, undefined, 7, {}, [...signature]];
    for (const wrong of hostile) {
      expect(verdict(wrong as string, message, publicKey)).toBe(false);
      expect(verdict(signature, message, wrong as string)).toBe(false);
    }
  });
});

it('gives one verdict on mutated signatures, keys and messages', () => {
  const seed = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const flips = fc.array(fc.tuple(fc.constantFrom('R', 'S', 'A', 'M'), fc.nat(255)), { maxLength: 2 });
  const replacement = fc.constantFrom('none', 'R', 'A');
  let accepted = 0;
  fc.assert(
    fc.property(seed, fc.uint8Array({ maxLength: 80 }), flips, replacement, fc.nat(7), (secret, message, flipped, replaced, order) => {
      const pair = generateKeyPair(() => secret);
      const signed = Uint8Array.from(pair.sign(message));
      const parts = {
        R: signed.subarray(0, 32),
        S: signed.subarray(32),
        A: Uint8Array.from(Buffer.from(pair.publicKey, 'hex')),
        M: Uint8Array.from(message),
      };
      if (replaced !== 'none') {
        const shifted = Point.fromBytes(parts[replaced]).add(torsion[order] ?? Point.ZERO);
        parts[replaced].set(shifted.toBytes());
      }
      for (const [part, bit] of flipped) {
        const bytes = parts[part];
        const at = Math.floor(bit / 8);
        if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
      }
      if (verdict(etc.concatBytes(parts.R, parts.S), parts.M, hex(parts.A))) accepted++;
    }),
    { numRuns: 400 },
  );
  expect(accepted).toBeGreaterThan(0);
});

it('gives one verdict on bytes without any form', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.uint8Array({ minLength: 32, maxLength: 32 }), (signature, key) => {
      expect(verdict(signature, utf8('noise'), hex(key))).toBe(false);
    }),
    { numRuns: 100 },
  );
});
