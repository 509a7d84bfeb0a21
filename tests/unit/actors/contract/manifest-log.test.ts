import { describe, expect, it } from 'vitest';

import { logLeaf } from '#actors/contract/log-leaf.ts';
import { growthProblem, headProblem, isInLog, type LogGrowth, proveEntry, proveGrowth, signHead } from '#actors/contract/manifest-log.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

const key = generateKeyPair();
const tools = { sha256, verify };
const manifests = Array.from({ length: 12 }, (_, n) => ({ body: `{"job":${n}}`, signature: `${n}`.padStart(128, '0') }));
const leaves = manifests.map((manifest) => logLeaf(manifest, sha256));
const head = (size: number, by = key, of = leaves) => signHead(of.slice(0, size), { key: by, at: 1_000 + size, sha256 });
const growth = (from: number, to: number): LogGrowth => proveGrowth(leaves.slice(0, to), from, head(to), sha256);

describe('the log of manifests', () => {
  it('proves where a manifest stands, and no other', () => {
    const log = head(12);
    for (const [position, manifest] of manifests.entries()) {
      const proof = proveEntry(leaves, position, log, sha256);
      expect(isInLog(manifest, proof, sha256)).toBe(true);
      expect(isInLog({ ...manifest, signature: 'f'.repeat(128) }, proof, sha256)).toBe(false);
      expect(isInLog({ ...manifest, body: '{}' }, proof, sha256)).toBe(false);
      expect(isInLog(manifest, { ...proof, position: position + 1 }, sha256)).toBe(false);
    }
  });

  it('takes no inner node of its tree for a manifest, nor a manifest for another kind of leaf', () => {
    const [left, right] = leaves;
    const joined = Buffer.concat([left ?? new Uint8Array(), right ?? new Uint8Array()]).toString('latin1');
    const log = signHead(leaves.slice(0, 2), { key, at: 1, sha256 });
    expect(isInLog({ body: joined, signature: '' }, { position: 0, log, proof: [] }, sha256)).toBe(false);
    // The zero bytes keep body and signature apart.
    expect(logLeaf({ body: 'a\0b', signature: 'c' }, sha256)).not.toEqual(logLeaf({ body: 'a', signature: 'c' }, sha256));
  });

  it('is in order when it grew, also by nothing', () => {
    for (const [from, to] of [
      [1, 12],
      [5, 6],
      [8, 12],
      [12, 12],
    ] as const)
      expect(growthProblem(head(from), growth(from, to), tools), `${from} to ${to}`).toBeNull();
  });

  it('is not in order when it was changed, cut, or signed by somebody else', () => {
    const forged = leaves.with(3, leaves[0] ?? new Uint8Array());
    const changed = proveGrowth(forged, 5, head(12, key, forged), sha256);
    expect(growthProblem(head(5), changed, tools)).toMatch(/was changed/);
    expect(growthProblem(head(12), growth(5, 6), tools)).toMatch(/had 12 manifests and has 6/);
    expect(growthProblem(head(5), growth(6, 12), tools)).toMatch(/starts at 6/);
    const other = generateKeyPair();
    expect(growthProblem(head(5), { ...growth(5, 12), log: head(12, other) }, tools)).toMatch(/signed with/);
    const renamed = { ...head(12, other), head: { ...head(12, other).head, gridKey: key.publicKey } };
    expect(growthProblem(head(5), { ...growth(5, 12), log: renamed }, tools)).toMatch(/signature/);
    expect(headProblem({ ...head(12), signature: '0'.repeat(128) }, key.publicKey, verify)).toMatch(/signature/);
  });

  it('that is empty has no head', () => {
    expect(() => signHead([], { key, at: 1, sha256 })).toThrow(RangeError);
  });
});
