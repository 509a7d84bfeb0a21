import { z } from 'zod';

import { canonicalJson } from '#runtime/identity/canonical.ts';

import { fromHex, toHex } from './hex.ts';
import { logLeaf } from './log-leaf.ts';
import { inclusionProof, merkleRoot, type Sha256Function, verifyInclusion } from './merkle.ts';
import { consistencyProof, verifyConsistency } from './merkle-consistency.ts';
import { PublicKey, Sha256, Signature } from './primitives.ts';

/**
 * The log of all manifests: a Merkle tree that only grows, one leaf for each sealed job. The grid signs its head; whoever
 * kept an older head can have it proven that nothing was changed or taken away since, and a receipt can prove that its
 * manifest is in the log, so that a grid cannot show different people different results without being caught.
 */

const MAX_PATH = 64;

export const LogHead = z.strictObject({
  version: z.literal(1),
  /** Manifests in the log. */
  size: z.number().int().min(1),
  root: Sha256,
  /** Milliseconds since 1970. */
  at: z.number().int().nonnegative(),
  gridKey: PublicKey,
});
export type LogHead = z.infer<typeof LogHead>;

export const SignedHead = z.strictObject({ head: LogHead, signature: Signature });
export type SignedHead = z.infer<typeof SignedHead>;

/** That a manifest is the one at this position of the log. */
export const LogProof = z.strictObject({
  position: z.number().int().nonnegative(),
  log: SignedHead,
  proof: z.array(Sha256).max(MAX_PATH),
});
export type LogProof = z.infer<typeof LogProof>;

/** That the log of the head is the one of `from` manifests, grown. */
export const LogGrowth = z.strictObject({
  from: z.number().int().min(1),
  log: SignedHead,
  proof: z.array(Sha256).max(2 * MAX_PATH),
});
export type LogGrowth = z.infer<typeof LogGrowth>;

interface Signer {
  readonly publicKey: string;
  sign(message: Uint8Array): Uint8Array;
}

type Verify = (signature: string, message: Uint8Array, publicKey: string) => boolean;

/** The bytes that the signature of a head covers. */
export function headBytes(head: LogHead): Uint8Array {
  return new TextEncoder().encode(`corpgrid.head.v1\0${canonicalJson(head)}`);
}

/** @throws RangeError when the log is empty: there is nothing to say about it */
export function signHead(
  leaves: readonly Uint8Array[],
  { key, at, sha256 }: { key: Signer; at: number; sha256: Sha256Function },
): SignedHead {
  if (leaves.length === 0) throw new RangeError('the log is empty');
  const head: LogHead = { version: 1, size: leaves.length, root: toHex(merkleRoot(leaves, sha256)), at, gridKey: key.publicKey };
  return { head, signature: toHex(key.sign(headBytes(head))) };
}

export function proveEntry(leaves: readonly Uint8Array[], position: number, log: SignedHead, sha256: Sha256Function): LogProof {
  return { position, log, proof: inclusionProof(leaves, position, sha256).map(toHex) };
}

export function proveGrowth(leaves: readonly Uint8Array[], from: number, log: SignedHead, sha256: Sha256Function): LogGrowth {
  return { from, log, proof: consistencyProof(leaves, from, sha256).map(toHex) };
}

/** What is wrong with a head, or null. `gridKey`: the key that it must be signed with. */
export function headProblem({ head, signature }: SignedHead, gridKey: string, verify: Verify): string | null {
  if (head.gridKey !== gridKey) return `the log is signed with ${head.gridKey}, not with ${gridKey}`;
  return verify(signature, headBytes(head), gridKey) ? null : 'the signature of the log is wrong';
}

/** Whether this very manifest stands in the log. */
export function isInLog(
  manifest: { body: string; signature: string },
  { position, log, proof }: LogProof,
  sha256: Sha256Function,
): boolean {
  const { size, root } = log.head;
  const leafHash = logLeaf(manifest, sha256);
  return verifyInclusion({ leafHash, index: position, size, proof: proof.map(fromHex), root: fromHex(root) }, sha256);
}

/** What is wrong with the growth of a log since a head that was kept, or null. */
export function growthProblem(kept: SignedHead, growth: LogGrowth, tools: { sha256: Sha256Function; verify: Verify }): string | null {
  const { head } = growth.log;
  const problem = headProblem(growth.log, kept.head.gridKey, tools.verify);
  if (problem !== null) return problem;
  if (head.size < kept.head.size) return `the log had ${kept.head.size} manifests and has ${head.size} now`;
  if (growth.from !== kept.head.size) return `the proof starts at ${growth.from} manifests, not at ${kept.head.size}`;
  const from = { size: kept.head.size, root: fromHex(kept.head.root) };
  const to = { size: head.size, root: fromHex(head.root) };
  const grown = verifyConsistency({ from, to, proof: growth.proof.map(fromHex) }, tools.sha256);
  return grown ? null : 'the log was changed: it does not contain what it contained before';
}
