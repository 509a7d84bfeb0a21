import { sha256 } from '@noble/hashes/sha2.js';

import { fromHex } from '#actors/contract/hex.ts';
import { verifyInclusion } from '#actors/contract/merkle.ts';
import type { Fence } from '#actors/contract/primitives.ts';
import { leafHashOf, manifestBytes, moduleOf, Receipt, voteBytes } from '#actors/contract/receipt.ts';
import { verifyPure } from '#runtime/identity/verify-pure.ts';

/** What this browser found when it checked a receipt. */
export interface ReceiptCheck {
  /** All of it holds: every signature, the place in the job's tree, the seal, and enough devices for the quorum. */
  readonly valid: boolean;
  /** Public key (hex) that sealed the job. */
  readonly gridKey: string;
  readonly votes: readonly { readonly device: string; readonly fence: Fence; readonly valid: boolean }[];
  /** What does not hold, one sentence each; empty when all does. */
  readonly reasons: readonly string[];
}

/** Checks a receipt as it came over the wire. Never throws: what is no receipt is an invalid one. */
export function checkReceipt(raw: unknown): ReceiptCheck {
  const parsed = Receipt.safeParse(raw);
  if (!parsed.success) return { valid: false, gridKey: '', votes: [], reasons: ['This is not a receipt of a form that this page knows.'] };
  const { manifest, manifestSignature, leaf, proof } = parsed.data;
  const votes = leaf.votes.map((vote) => {
    const statement = { job: manifest.job, shard: leaf.shard, fence: vote.fence, module: moduleOf(manifest, leaf.shard), inputDigest: vote.inputDigest, output: leaf.output };
    return { device: vote.device, fence: vote.fence, valid: verifyPure(vote.signature, voteBytes(statement), vote.publicKey) };
  });
  const reasons: string[] = [];
  for (const vote of votes) if (!vote.valid) reasons.push(`The signature of ${vote.device} does not fit its vote.`);
  const devices = new Set(leaf.votes.map((vote) => vote.publicKey)).size;
  if (devices < manifest.quorum) reasons.push(`The job asks for ${manifest.quorum} devices, and ${devices} signed this result.`);
  const place = { leafHash: leafHashOf(leaf, sha256), index: leaf.shard, size: manifest.shards, proof: proof.map(fromHex), root: fromHex(manifest.root) };
  if (!verifyInclusion(place, sha256)) reasons.push('The result is not part of the job that the grid sealed.');
  if (!verifyPure(manifestSignature, manifestBytes(manifest), manifest.gridKey)) reasons.push("The grid's own signature does not fit the job.");
  return { valid: reasons.length === 0, gridKey: manifest.gridKey, votes, reasons };
}
