/**
 * Merkle trees after RFC 6962, section 2.1: leaves are hashed with the prefix 0, inner nodes with the prefix 1, so that no node
 * can pass for a leaf; a tree of n leaves splits at the largest power of two below n, so that nothing is ever duplicated to
 * fill it up. Pure and safe in browsers: the hash is injected.
 */

/** SHA-256: any bytes to 32. */
export type Sha256Function = (bytes: Uint8Array) => Uint8Array;

const LEAF = 0;
const NODE = 1;
const EMPTY = new Uint8Array(0);

/** Hash of one leaf's bytes: what every other function here calls a leaf hash. */
export function leafHash(leaf: Uint8Array, sha256: Sha256Function): Uint8Array {
  return sha256(join(LEAF, leaf, EMPTY));
}

/** A tree that grows by one leaf hash after the other. Keeps one hash for each level, so a million leaves are cheap. */
export class GrowingTree {
  // Roots of complete subtrees, largest first: one for each 1 bit of `#count`.
  readonly #complete: Uint8Array[] = [];
  readonly #sha256: Sha256Function;
  #count = 0;

  constructor(sha256: Sha256Function) {
    this.#sha256 = sha256;
  }

  get size(): number {
    return this.#count;
  }

  push(leaf: Uint8Array): void {
    let root = leaf;
    for (let size = this.#count; size % 2 === 1; size = Math.floor(size / 2))
      root = nodeHash(this.#complete.pop() ?? EMPTY, root, this.#sha256);
    this.#complete.push(root);
    this.#count++;
  }

  root(): Uint8Array {
    const root = this.#complete.reduceRight<Uint8Array | null>(
      (right, left) => (right === null ? left : nodeHash(left, right, this.#sha256)),
      null,
    );
    return root ?? this.#sha256(EMPTY);
  }
}

/** Root over leaf hashes in their order. */
export function merkleRoot(leafHashes: Iterable<Uint8Array>, sha256: Sha256Function): Uint8Array {
  const tree = new GrowingTree(sha256);
  for (const leaf of leafHashes) tree.push(leaf);
  return tree.root();
}

/**
 * The audit path of one leaf, from the bottom up (RFC 6962, 2.1.1): at most ceil(log2(n)) hashes.
 *
 * @throws RangeError when there is no leaf with that index
 */
export function inclusionProof(leafHashes: readonly Uint8Array[], index: number, sha256: Sha256Function): Uint8Array[] {
  if (!Number.isInteger(index) || index < 0 || index >= leafHashes.length)
    throw new RangeError(`no leaf ${index} among ${leafHashes.length}`);
  const proof: Uint8Array[] = [];
  let first = 0;
  let last = leafHashes.length;
  while (last - first > 1) {
    const middle = first + splitOf(last - first);
    const [siblingFirst, siblingLast] = index < middle ? [middle, last] : [first, middle];
    proof.push(merkleRoot(leafHashes.slice(siblingFirst, siblingLast), sha256));
    if (index < middle) last = middle;
    else first = middle;
  }
  return proof.reverse();
}

/** Root and audit paths of all leaves, in one pass: for a batch that is handed out whole. */
export function treeOf(
  leafHashes: readonly Uint8Array[],
  sha256: Sha256Function,
): { root: Uint8Array; proof: (index: number) => Uint8Array[] } {
  const levels: (readonly Uint8Array[])[] = [leafHashes];
  for (let level = leafHashes; level.length > 1;) {
    const above: Uint8Array[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const left = level[i] ?? EMPTY;
      const right = level[i + 1];
      // A last node without a sibling is carried upwards unhashed.
      above.push(right === undefined ? left : nodeHash(left, right, sha256));
    }
    levels.push(above);
    level = above;
  }
  return {
    root: levels.at(-1)?.[0] ?? sha256(EMPTY),
    proof(index) {
      return levels.flatMap((level, height) => level[Math.floor(index / 2 ** height) ^ 1] ?? []);
    },
  };
}

/** Where a leaf claims to stand, and the path that is to prove it. */
export interface Inclusion {
  readonly leafHash: Uint8Array;
  readonly index: number;
  /** Leaves of the whole tree. */
  readonly size: number;
  readonly proof: readonly Uint8Array[];
  readonly root: Uint8Array;
}

/** True when the tree of that size and root has that leaf at that index (RFC 9162, 2.1.3.2). Never throws on hostile input. */
export function verifyInclusion({ root, ...place }: Inclusion, sha256: Sha256Function): boolean {
  const found = rootFrom(place, sha256);
  return found !== null && equal(found, root);
}

/** The root that a leaf, its place and its path lead to; null when no tree of that size has such a path. */
export function rootFrom({ leafHash: leaf, index, size, proof }: Omit<Inclusion, 'root'>, sha256: Sha256Function): Uint8Array | null {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return null;
  let position = index;
  let last = size - 1;
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0 || sibling.length !== 32) return null;
    if (position % 2 === 1 || position === last) {
      hash = nodeHash(sibling, hash, sha256);
      // A last node without a sibling on its level was carried upwards unhashed.
      while (position % 2 === 0 && position !== 0) {
        position = Math.floor(position / 2);
        last = Math.floor(last / 2);
      }
    } else {
      hash = nodeHash(hash, sibling, sha256);
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? hash : null;
}

/** Hash of an inner node. */
export function nodeHash(left: Uint8Array, right: Uint8Array, sha256: Sha256Function): Uint8Array {
  return sha256(join(NODE, left, right));
}

/** Largest power of two below n, for n > 1. */
export function splitOf(n: number): number {
  let split = 1;
  while (split * 2 < n) split *= 2;
  return split;
}

function join(prefix: number, a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(1 + a.length + b.length);
  joined[0] = prefix;
  joined.set(a, 1);
  joined.set(b, 1 + a.length);
  return joined;
}

/** Roots are public: time may tell. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
