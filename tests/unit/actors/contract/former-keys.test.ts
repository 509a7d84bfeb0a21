import { describe, expect, it } from 'vitest';

import { type FormerKey, type KeyList, keyListBytes, SignedKeyList } from '#actors/contract/former-keys.ts';
import { toHex } from '#actors/contract/hex.ts';
import { logLeaf } from '#actors/contract/log-leaf.ts';
import { proveEntry, signHead } from '#actors/contract/manifest-log.ts';
import { merkleRoot } from '#actors/contract/merkle.ts';
import {
  leafHashOf,
  leafOf,
  makeReceipt,
  type Manifest,
  manifestBytes,
  type Receipt,
  verifyReceipt,
  voteBytes,
} from '#actors/contract/receipt.ts';
import { canonicalJson } from '#runtime/identity/canonical.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

const keyFrom = (seed: number): KeyPair => generateKeyPair(() => new Uint8Array(32).fill(seed));
const grid = keyFrom(200);
const devices = [1, 2, 3].map((n) => ({ id: `dev-000000000${n}`, key: keyFrom(n) }));
const JOB = '0199a3c2-7b1e-4f60-8d2a-1c5b9e7f3a11';
const output = { sha256: sha256Hex(new Uint8Array(1)), size: 1 };
const inputDigest = 'b'.repeat(64);

/** A job of one shard that all three devices voted on, sealed as the sixth of the log. */
function sealed(quorum: number): Receipt {
  const module = 'a'.repeat(64);
  const votes = devices.map(({ id, key }, n) => {
    const fence = { epoch: 1, seq: n + 1 };
    const signature = toHex(key.sign(voteBytes({ job: JOB, shard: 0, fence, module, inputDigest, output })));
    return { device: id, publicKey: key.publicKey, fence, inputDigest, signature };
  });
  const leaf = leafOf(0, output, votes);
  const leafHashes = [leafHashOf(leaf, sha256)];
  const manifest: Manifest = {
    version: 1,
    job: JOB,
    tenant: 't',
    module,
    mergeModule: null,
    spec: 'c'.repeat(64),
    shards: 1,
    quorum,
    root: toHex(merkleRoot(leafHashes, sha256)),
    epoch: 1,
    sealedAt: 1,
    gridKey: grid.publicKey,
  };
  const manifestSignature = toHex(grid.sign(manifestBytes(manifest)));
  const entries: Uint8Array[] = Array.from({ length: 5 }, (_, n) => new Uint8Array(32).fill(n));
  entries.push(logLeaf({ body: canonicalJson(manifest), signature: manifestSignature }, sha256));
  const log = proveEntry(entries, 5, signHead(entries, { key: grid, at: 1, sha256 }), sha256);
  return { ...makeReceipt({ manifest, manifestSignature, leafHashes }, leaf, sha256), log };
}

function listOf(keys: readonly FormerKey[], by: KeyPair = grid): SignedKeyList {
  const list: KeyList = { version: 1, gridKey: by.publicKey, at: 9, keys: [...keys] };
  return SignedKeyList.parse({ list, signature: toHex(by.sign(keyListBytes(list))) });
}

function ended(n: number, reason: FormerKey['reason'], until: number): FormerKey {
  const { id, key } = devices[n] ?? { id: '', key: grid };
  return { device: id, publicKey: key.publicKey, reason, until, at: 9 };
}

const check = (receipt: Receipt, formerKeys: SignedKeyList): boolean => verifyReceipt(receipt, { sha256, verify, formerKeys }).ok;

describe('receipts and keys that ended', () => {
  it('stay good when a key was replaced, whenever that was', () => {
    for (const until of [0, 5, 6]) expect(check(sealed(3), listOf([ended(0, 'rotated', until)]))).toBe(true);
  });

  it('stay good when a key was revoked after they were sealed', () => {
    expect(check(sealed(3), listOf([ended(0, 'revoked', 6)]))).toBe(true);
  });

  it('lose the votes of keys that were revoked before, and hold as long as the others are enough', () => {
    expect(check(sealed(3), listOf([ended(0, 'revoked', 5)]))).toBe(false);
    expect(check(sealed(2), listOf([ended(0, 'revoked', 5)]))).toBe(true);
    expect(check(sealed(2), listOf([ended(0, 'revoked', 5), ended(1, 'revoked', 0)]))).toBe(false);
  });

  it('are of no known time without their place in the log: what was revoked at all does not count', () => {
    const { log: _log, ...bare } = sealed(3);
    expect(check(bare, listOf([ended(0, 'revoked', 6)]))).toBe(false);
    expect(check(bare, listOf([ended(0, 'rotated', 6)]))).toBe(true);
  });

  it('are not judged by a list that somebody else signed, or that was changed', () => {
    expect(check(sealed(3), listOf([], keyFrom(7)))).toBe(false);
    const honest = listOf([ended(0, 'revoked', 5)]);
    expect(check(sealed(3), { ...honest, list: { ...honest.list, keys: [] } })).toBe(false);
    expect(check(sealed(3), { ...honest, list: { ...honest.list, keys: [ended(0, 'revoked', 6)] } })).toBe(false);
  });
});
