import { createHash } from 'node:crypto';

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { fromHex, toHex } from '#actors/contract/hex.ts';
import { inclusionProof, leafHash, merkleRoot, treeOf, verifyInclusion } from '#actors/contract/merkle.ts';

const sha256 = (bytes: Uint8Array): Uint8Array => createHash('sha256').update(bytes).digest();

/** The inputs of the test vectors that implementations of RFC 6962 share (Certificate Transparency's merkle_tree_test). */
const INPUTS = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const ROOTS = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const vectors = INPUTS.map((input) => leafHash(fromHex(input), sha256));

/** The definition of RFC 6962, 2.1, word for word. */
function rootByDefinition(hashes: readonly Uint8Array[]): Uint8Array {
  const [only] = hashes;
  if (only === undefined) return sha256(new Uint8Array(0));
  if (hashes.length === 1) return only;
  let k = 1;
  while (k * 2 < hashes.length) k *= 2;
  return sha256(Buffer.concat([Buffer.from([1]), rootByDefinition(hashes.slice(0, k)), rootByDefinition(hashes.slice(k))]));
}

const leavesOf = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => leafHash(new TextEncoder().encode(`leaf ${i}`), sha256));

describe('a whole tree at once', () => {
  it('has the root and the paths that are made one by one', () => {
    for (let count = 0; count <= 33; count++) {
      const leaves = leavesOf(count);
      const { root, proof } = treeOf(leaves, sha256);
      expect(toHex(root)).toBe(toHex(merkleRoot(leaves, sha256)));
      for (let i = 0; i < count; i++) expect(proof(i).map(toHex)).toEqual(inclusionProof(leaves, i, sha256).map(toHex));
    }
  });
});

describe('hex', () => {
  it('is what bytes become and come back from, and nothing else is read', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(toHex(bytes)).toBe(Buffer.from(bytes).toString('hex'));
        expect(fromHex(toHex(bytes))).toEqual(new Uint8Array(bytes));
      }),
    );
    for (const text of ['a', 'abc', 'AB', 'g0', '0g', ' 0', '\u0130\u0130', 'é0']) expect(() => fromHex(text)).toThrow(RangeError);
  });
});

describe('the root', () => {
  it('of nothing is the hash of nothing', () => {
    expect(toHex(merkleRoot([], sha256))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  it.each(ROOTS.map((root, i) => [i + 1, root] as const))('of the first %i vectors is the known one', (count, root) => {
    expect(toHex(merkleRoot(vectors.slice(0, count), sha256))).toBe(root);
  });

  it('is the definition, for every size up to 70', () => {
    const leaves = leavesOf(70);
    for (let size = 0; size <= 70; size++)
      expect(toHex(merkleRoot(leaves.slice(0, size), sha256))).toBe(toHex(rootByDefinition(leaves.slice(0, size))));
  });

  it('takes leaves one by one', () => {
    function* stream(): Generator<Uint8Array> {
      yield* vectors;
    }
    expect(toHex(merkleRoot(stream(), sha256))).toBe(ROOTS[7]);
  });

  it('tells a leaf from a node', () => {
    const [left, right] = leavesOf(2);
    const fake = leafHash(Buffer.concat([left ?? new Uint8Array(), right ?? new Uint8Array()]), sha256);
    expect(toHex(merkleRoot([fake], sha256))).not.toBe(toHex(merkleRoot(leavesOf(2), sha256)));
  });
});

describe('an inclusion proof', () => {
  it('is the known one', () => {
    expect(inclusionProof(vectors, 0, sha256).map(toHex)).toEqual([
      '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
      '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
      '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
    ]);
  });

  it('holds for every leaf of every size up to 40, and for no other place, size or leaf', () => {
    const leaves = leavesOf(41);
    for (let size = 1; size <= 40; size++) {
      const hashes = leaves.slice(0, size);
      const root = merkleRoot(hashes, sha256);
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(hashes, index, sha256);
        const leaf = hashes[index] ?? new Uint8Array();
        expect(verifyInclusion({ leafHash: leaf, index, size, proof, root }, sha256)).toBe(true);
        for (let other = 0; other < size; other++) {
          if (other !== index) expect(verifyInclusion({ leafHash: leaf, index: other, size, proof, root }, sha256)).toBe(false);
        }
        expect(verifyInclusion({ leafHash: leaves[40] ?? leaf, index, size, proof, root }, sha256)).toBe(false);
      }
    }
  });

  it('fails when it is shortened, lengthened, reordered or altered', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 200 }), fc.nat(), fc.nat(), (size, at, where) => {
        const hashes = leavesOf(size);
        const index = at % size;
        const proof = inclusionProof(hashes, index, sha256);
        const claim = { leafHash: hashes[index] ?? new Uint8Array(), index, size, root: merkleRoot(hashes, sha256) };
        const flip = proof.map((hash) => Uint8Array.from(hash));
        const target = flip[where % flip.length];
        if (target !== undefined) target[where % 32] = (target[where % 32] ?? 0) ^ 1;
        const attacks = [flip, proof.slice(1), proof.slice(0, -1), [...proof, new Uint8Array(32)], proof.map((hash) => hash.subarray(1))];
        if (proof.length > 1) attacks.push(proof.toReversed());
        expect(verifyInclusion({ ...claim, proof }, sha256)).toBe(true);
        for (const attack of attacks) expect(verifyInclusion({ ...claim, proof: attack }, sha256)).toBe(false);
      }),
      { numRuns: 60 },
    );
  });

  it('is not longer than the tree is high, even when the hashes fit', () => {
    const [a, b] = leavesOf(2);
    if (a === undefined || b === undefined) throw new Error('two leaves');
    const root = merkleRoot([a, b], sha256);
    expect(verifyInclusion({ leafHash: b, index: 0, size: 1, proof: [a], root }, sha256)).toBe(false);
    expect(verifyInclusion({ leafHash: b, index: 1, size: 2, proof: [a], root }, sha256)).toBe(true);
  });

  it('refuses places that do not exist', () => {
    const root = merkleRoot(vectors, sha256);
    const leaf = vectors[0] ?? new Uint8Array();
    for (const [index, size] of [
      [-1, 8],
      [8, 8],
      [0, 0],
      [0.5, 8],
      [0, Number.NaN],
      [0, 2 ** 60],
    ] as const) {
      expect(verifyInclusion({ leafHash: leaf, index, size, proof: [], root }, sha256)).toBe(false);
    }
    for (const index of [-1, 8, 0.5]) expect(() => inclusionProof(vectors, index, sha256)).toThrow(RangeError);
  });
});

describe('hex', () => {
  it('goes both ways and refuses the rest', () => {
    expect(toHex(fromHex('00ff10'))).toBe('00ff10');
    expect(fromHex('')).toHaveLength(0);
    for (const wrong of ['0', 'FF', 'zz', '0x00', ' 00']) expect(() => fromHex(wrong)).toThrow(RangeError);
  });
});
