import { z } from 'zod';

import { canonicalJson } from '#runtime/identity/canonical.ts';

import { fromHex, toHex } from './hex.ts';
import { leafHash, rootFrom, treeOf, type Sha256Function } from './merkle.ts';
import { Sha256 } from './primitives.ts';

/**
 * One signature for many votes: the device signs the root of a Merkle tree whose leaves are the bytes that each vote would
 * have signed by itself, and each vote carries its own path to that root. So every vote stays a proof that stands alone,
 * and a grid that is given many small results checks one signature instead of many.
 */

/** Votes under one signature at most. */
export const MAX_VOTE_BATCH = 4_096;

/** Where a vote stands under the signature of its batch. */
export const VoteBatch = z.strictObject({
  size: z.number().int().min(2).max(MAX_VOTE_BATCH),
  index: z
    .number()
    .int()
    .min(0)
    .max(MAX_VOTE_BATCH - 1),
  /** From the vote up to the root. */
  proof: z.array(Sha256).max(12),
});
export type VoteBatch = z.infer<typeof VoteBatch>;

/** The bytes that the signature of a batch covers: never those of a single vote, nor of a batch of another size. */
export function batchBytes(root: Uint8Array, size: number): Uint8Array {
  return new TextEncoder().encode(`corpgrid.votes.v1\0${canonicalJson({ root: toHex(root), size })}`);
}

/** What is to be signed for these votes, and the place of each of them. At least two, at most `MAX_VOTE_BATCH`. */
export function batchVotes(votes: readonly Uint8Array[], sha256: Sha256Function): { bytes: Uint8Array; places: VoteBatch[] } {
  if (votes.length < 2 || votes.length > MAX_VOTE_BATCH) throw new RangeError(`a batch of ${votes.length} votes`);
  const leaves = votes.map((vote) => leafHash(vote, sha256));
  const size = leaves.length;
  const { root, proof } = treeOf(leaves, sha256);
  return { bytes: batchBytes(root, size), places: leaves.map((_, index) => ({ size, index, proof: proof(index).map(toHex) })) };
}

/** The bytes that the signature of this vote covers: its own, or those of its batch. Null when the place cannot be. */
export function signedBytes(vote: Uint8Array, batch: VoteBatch | null | undefined, sha256: Sha256Function): Uint8Array | null {
  if (batch === null || batch === undefined) return vote;
  const { size, index, proof } = batch;
  const root = rootFrom({ leafHash: leafHash(vote, sha256), index, size, proof: proof.map(fromHex) }, sha256);
  return root === null ? null : batchBytes(root, size);
}
