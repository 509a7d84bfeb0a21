import { sha256 } from '@noble/hashes/sha2.js';

import type { Fence } from '#actors/contract/primitives.ts';
import { Receipt, verifyReceipt } from '#actors/contract/receipt.ts';
import { verifyPure } from '#runtime/identity/verify-pure.ts';

/** What the page shows and asks a receipt to prove: a sound receipt of something else proves nothing here. */
export interface Claim {
  readonly job: string;
  readonly shard: number;
  /** SHA-256 of the output that the page shows. */
  readonly output: string | null;
}

/** What this browser found when it checked a receipt. */
export interface ReceiptFinding {
  /** All of it holds: every signature, the place in the job's tree, the seal, the quorum, and that it is about the claim. */
  readonly valid: boolean;
  /** Public key (hex) that sealed the job; empty when this is no receipt. */
  readonly gridKey: string;
  readonly votes: readonly { readonly device: string; readonly fence: Fence; readonly valid: boolean }[];
  /** What does not hold, one sentence each; empty when all does. */
  readonly reasons: readonly string[];
}

/** Checks a receipt as it came over the wire. Never throws: what is no receipt is an invalid one. */
export function checkReceipt(raw: unknown, claim: Claim): ReceiptFinding {
  // `verifyReceipt` tells of all votes at once; what it verified is noted here for each of them, since it takes 2 ms a time.
  const verified = new Map<string, boolean>();
  const verify = (signature: string, message: Uint8Array, publicKey: string): boolean => {
    const valid = verifyPure(signature, message, publicKey);
    verified.set(`${signature} ${publicKey}`, valid);
    return valid;
  };
  const verdict = verifyReceipt(raw, { sha256, verify });
  const reasons = verdict.checks.filter((check) => !check.ok).map((check) => check.detail);
  const parsed = Receipt.safeParse(raw);
  if (!parsed.success) return { valid: false, gridKey: '', votes: [], reasons };

  const { manifest, leaf } = parsed.data;
  if (manifest.job !== claim.job || leaf.shard !== claim.shard) reasons.push('the receipt is about another shard');
  else if (leaf.output.sha256 !== claim.output) reasons.push('the receipt is about another output than the one shown here');
  const votes = leaf.votes.map(({ device, fence, signature, publicKey }) => ({
    device,
    fence,
    valid: verified.get(`${signature} ${publicKey}`) === true,
  }));
  return { valid: verdict.ok && reasons.length === 0, gridKey: manifest.gridKey, votes, reasons };
}
