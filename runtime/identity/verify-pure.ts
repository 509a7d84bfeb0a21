import { Point, etc } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js';

import { admissible, type SignatureParts } from './signature-law.ts';

/**
 * Ed25519 verification in plain JavaScript, for pages and wherever the native one is missing: browsers have no WebCrypto on
 * `http://` origins. About 2 ms a signature, so keep it in a worker.
 *
 * The library's own `verify` is not used: it multiplies by the cofactor and so accepts signatures with a torsion component,
 * which native verification refuses. Only its point arithmetic serves here; the law stands in `signature-law.ts`.
 */

const ORDER = Point.CURVE().n;

/**
 * True when the signature is valid. Never throws on hostile input.
 *
 * @param signature 64 bytes, or 128 lower-case hex digits
 * @param message the signed bytes
 * @param publicKey 64 lower-case hex digits
 */
export function verifyPure(signature: string | Uint8Array, message: Uint8Array, publicKey: string): boolean {
  const parts = admissible(signature, publicKey);
  return parts !== null && equationHolds(parts, message);
}

function equationHolds({ signature, publicKey }: SignatureParts, message: Uint8Array): boolean {
  const R = signature.subarray(0, 32);
  const S = littleEndian(signature.subarray(32));
  const k = etc.mod(littleEndian(sha512(concatBytes(R, publicKey, message))), ORDER);
  const A = decode(publicKey);
  if (A === null) return false;
  const expected = Point.BASE.multiply(S, false).subtract(A.multiply(k, false)).toBytes();
  return expected.every((byte, i) => byte === R[i]);
}

/** Null when the bytes are not a point of the curve. */
function decode(bytes: Uint8Array): Point | null {
  try {
    return Point.fromBytes(bytes, false);
  } catch {
    return null;
  }
}

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${bytesToHex(Uint8Array.from(bytes).reverse())}`);
}
