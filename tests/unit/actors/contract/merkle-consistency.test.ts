import { describe, expect, it } from 'vitest';

import { leafHash, merkleRoot } from '#actors/contract/merkle.ts';
import { consistencyProof, verifyConsistency } from '#actors/contract/merkle-consistency.ts';
import { sha256 } from '#runtime/identity/digest.ts';

const MOST = 33;
const leaves = Array.from({ length: MOST }, (_, n) => leafHash(new TextEncoder().encode(`entry ${n}`), sha256));
const tree = (size: number, of = leaves) => ({ size, root: merkleRoot(of.slice(0, size), sha256) });
const grown = (m: number, n: number, proof = consistencyProof(leaves.slice(0, n), m, sha256)) =>
  verifyConsistency({ from: tree(m), to: tree(n), proof }, sha256);

describe('a tree that only grew', () => {
  it('is proven from every size to every larger one', () => {
    for (let n = 1; n <= MOST; n++) for (let m = 1; m <= n; m++) expect(grown(m, n), `${m} to ${n}`).toBe(true);
  });

  it('has the proofs of RFC 6962, 2.1.3: seven leaves from three, four and six', () => {
    const root = (first: number, last: number) => merkleRoot(leaves.slice(first, last), sha256);
    const seven = leaves.slice(0, 7);
    const [a, b] = [leaves.slice(2, 3), leaves.slice(3, 4)];
    expect(consistencyProof(seven, 3, sha256)).toEqual([a[0], b[0], root(0, 2), root(4, 7)]);
    expect(consistencyProof(seven, 4, sha256)).toEqual([root(4, 7)]);
    expect(consistencyProof(seven, 6, sha256)).toEqual([root(4, 6), leaves[6], root(0, 4)]);
  });

  it('is not proven when an old entry was changed, whatever the proof', () => {
    const forged = leaves.with(2, leafHash(new Uint8Array([1]), sha256));
    for (const n of [5, 8, 13, 32]) {
      const proof = consistencyProof(forged.slice(0, n), 4, sha256);
      expect(verifyConsistency({ from: tree(4), to: tree(n, forged), proof }, sha256)).toBe(false);
    }
  });

  it('is not proven by a proof that was cut, lengthened, turned or made for other sizes', () => {
    for (const [m, n] of [
      [3, 7],
      [4, 7],
      [6, 7],
      [7, 20],
      [8, 9],
      [13, 33],
    ] as const) {
      const proof = consistencyProof(leaves.slice(0, n), m, sha256);
      expect(grown(m, n, proof.slice(1))).toBe(false);
      expect(grown(m, n, proof.slice(0, -1))).toBe(false);
      expect(grown(m, n, [...proof, leaves[0] ?? new Uint8Array()])).toBe(false);
      if (proof.length > 1) expect(grown(m, n, proof.toReversed())).toBe(false);
      expect(grown(m, n - 1, proof)).toBe(false);
      expect(grown(m - 1, n, proof)).toBe(false);
      expect(grown(m, n, proof.with(0, new Uint8Array(31)))).toBe(false);
    }
  });

  it('answers nonsense with no, and is not asked to prove it', () => {
    for (const [m, n] of [
      [0, 4],
      [5, 4],
      [1.5, 4],
      [-1, 4],
      [Number.NaN, 4],
    ] as const) {
      expect(verifyConsistency({ from: { size: m, root: tree(1).root }, to: tree(n), proof: [] }, sha256)).toBe(false);
      expect(() => consistencyProof(leaves.slice(0, n), m, sha256)).toThrow(RangeError);
    }
    expect(grown(4, 4, [leaves[0] ?? new Uint8Array()])).toBe(false);
    expect(grown(3, 7, [])).toBe(false);
  });
});
