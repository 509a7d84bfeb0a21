import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';

/**
 * What an Ed25519 signature must look like before anybody does arithmetic on it. Shared by both verifiers, so that they can
 * differ in nothing but the equation's implementation. Pure and safe in browsers.
 *
 * CorpGrid's law of verification, for a public key A, a signature R ‖ S and a message M (RFC 8032, 5.1.7, *cofactorless*):
 *   1. A and R are 32 bytes each: canonical encodings of points of the curve, and neither point has small order;
 *   2. S is below the group order L;
 *   3. the encoding of S·B − k·A, with k = SHA-512(R ‖ A ‖ M) mod L, equals the 32 bytes of R.
 *
 * Why a law at all: libraries disagree on the edges (Chalkias et al., "Taming the many EdDSAs", 2020), and so do versions of
 * one library: Node refuses points of small order only since nodejs/node#64026. A receipt that one machine accepts
 * and another refuses proves nothing. No honest signer ever makes what is refused here.
 */

/** Order of the base point, little-endian: 2^252 + 27742317777372353535851937790883648493. */
const ORDER = hexToBytes('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010');

/** The field's prime 2^255 − 19, little-endian. */
const PRIME = hexToBytes('edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f');

/**
 * The y coordinates of the eight points whose order divides 8, in hex without the sign bit of x: 1, −1, 0 and the two of
 * order 8. The sign bit does not matter: with either sign the point is small (or, where x is 0, not canonical at all).
 */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

const SIGNATURE_HEX = /^[0-9a-f]{128}$/;
const PUBLIC_KEY_HEX = /^[0-9a-f]{64}$/;

export interface SignatureParts {
  /** 64 bytes: R ‖ S. */
  readonly signature: Uint8Array;
  /** 32 bytes: A. */
  readonly publicKey: Uint8Array;
}

/**
 * Rules 1 and 2, save that the points are on the curve (the equation tells). Answers the bytes, or null when the signature cannot be
 * valid. Never throws, whatever it is given.
 *
 * @param signature 64 bytes, or 128 lower-case hex digits
 * @param publicKey 64 lower-case hex digits
 */
export function admissible(signature: string | Uint8Array, publicKey: string): SignatureParts | null {
  const A = publicKeyBytes(publicKey);
  const parts = signatureBytes(signature);
  if (A === null || parts === null) return null;
  const R = parts.subarray(0, 32);
  const S = parts.subarray(32);
  return isAdmissiblePoint(A) && isAdmissiblePoint(R) && below(S, ORDER) ? { signature: parts, publicKey: A } : null;
}

/** True for the form of a key that could have signed something: canonical and not of small order. */
export function isAdmissibleKey(publicKey: string): boolean {
  const bytes = publicKeyBytes(publicKey);
  return bytes !== null && isAdmissiblePoint(bytes);
}

function isAdmissiblePoint(encoding: Uint8Array): boolean {
  const y = Uint8Array.from(encoding);
  y[31] = (y[31] ?? 0) & 0x7f;
  return below(y, PRIME) && !SMALL_ORDER_Y.has(bytesToHex(y));
}

function publicKeyBytes(publicKey: string): Uint8Array | null {
  return typeof publicKey === 'string' && PUBLIC_KEY_HEX.test(publicKey) ? hexToBytes(publicKey) : null;
}

function signatureBytes(signature: string | Uint8Array): Uint8Array | null {
  if (typeof signature === 'string') return SIGNATURE_HEX.test(signature) ? hexToBytes(signature) : null;
  return signature instanceof Uint8Array && signature.length === 64 ? signature : null;
}

/** Both little-endian and of equal length. Everything compared here is public, so time may tell. */
function below(number: Uint8Array, limit: Uint8Array): boolean {
  for (let i = limit.length - 1; i >= 0; i--) {
    const difference = (number[i] ?? 0) - (limit[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
