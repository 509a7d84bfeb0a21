import { equal, merkleRoot, nodeHash, type Sha256Function, splitOf } from './merkle.ts';

/**
 * Proof that a Merkle tree only grew: that the tree of the first m leaves is where it was in the tree of n
 * (RFC 6962, 2.1.2; checked as RFC 9162, 2.1.4.2 does).
 *
 * @throws RangeError when the larger tree has not at least one and as many leaves as the smaller
 */
export function consistencyProof(leafHashes: readonly Uint8Array[], size: number, sha256: Sha256Function): Uint8Array[] {
  if (!Number.isInteger(size) || size < 1 || size > leafHashes.length)
    throw new RangeError(`no tree of ${size} leaves within one of ${leafHashes.length}`);
  const proof: Uint8Array[] = [];
  let first = 0;
  let last = leafHashes.length;
  let rest = size;
  /** Whether the subtree at hand begins where the whole tree does: then its root is known to whoever checks. */
  let known = true;
  while (rest !== last - first) {
    const split = splitOf(last - first);
    const middle = first + split;
    if (rest <= split) {
      proof.push(merkleRoot(leafHashes.slice(middle, last), sha256));
      last = middle;
    } else {
      proof.push(merkleRoot(leafHashes.slice(first, middle), sha256));
      first = middle;
      rest -= split;
      known = false;
    }
  }
  if (!known) proof.push(merkleRoot(leafHashes.slice(first, last), sha256));
  return proof.reverse();
}

/** Two trees, of which the second claims to be the first, grown. */
export interface Growth {
  readonly from: { readonly size: number; readonly root: Uint8Array };
  readonly to: { readonly size: number; readonly root: Uint8Array };
  readonly proof: readonly Uint8Array[];
}

/** True when nothing of the first tree was changed or taken away. Never throws on hostile input. */
export function verifyConsistency({ from, to, proof }: Growth, sha256: Sha256Function): boolean {
  const isSize = (n: number): boolean => Number.isSafeInteger(n) && n >= 1;
  if (!isSize(from.size) || !isSize(to.size) || from.size > to.size) return false;
  if (from.size === to.size) return proof.length === 0 && equal(from.root, to.root);
  const path = isPowerOfTwo(from.size) ? [from.root, ...proof] : [...proof];
  const [start, ...siblings] = path;
  if (proof.length === 0 || start === undefined || path.some((hash) => hash.length !== 32)) return false;
  /** The last leaf of each tree, as a position among the nodes of the level at hand. */
  const at = { old: from.size - 1, new: to.size - 1 };
  const up = (): void => {
    at.old = Math.floor(at.old / 2);
    at.new = Math.floor(at.new / 2);
  };
  while (at.old % 2 === 1) up();
  let oldRoot = start;
  let newRoot = start;
  for (const sibling of siblings) {
    if (at.new === 0) return false;
    if (at.old % 2 === 1 || at.old === at.new) {
      oldRoot = nodeHash(sibling, oldRoot, sha256);
      newRoot = nodeHash(sibling, newRoot, sha256);
      while (at.old % 2 === 0 && at.old !== 0) up();
    } else {
      newRoot = nodeHash(newRoot, sibling, sha256);
    }
    up();
  }
  return at.new === 0 && equal(oldRoot, from.root) && equal(newRoot, to.root);
}

function isPowerOfTwo(n: number): boolean {
  return Number.isInteger(Math.log2(n));
}
