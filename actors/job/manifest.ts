import { maxErrorOf, quorumOf, shardCount } from '#actors/contract/job-spec.ts';
import { toHex } from '#actors/contract/hex.ts';
import { merkleRoot } from '#actors/contract/merkle.ts';
import {
  leafHashOf,
  leafOf,
  makeReceipt,
  Manifest,
  manifestBytes,
  specDigestOf,
  type Receipt,
  type ReceiptLeaf,
  type SealedVote,
  voteBytes,
} from '#actors/contract/receipt.ts';
import { signedBytes } from '#actors/contract/vote-batch.ts';
import type { JobRow, ManifestRow, ShardRow, VoteRow } from '#actors/store/store.ts';
import { canonicalJson } from '#runtime/identity/canonical.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

import { inputDigest, type ShardOutput } from './run-command.ts';

/** All that a job's evidence is made of. Rows may come in any order. */
export interface Evidence {
  readonly job: JobRow;
  readonly shards: readonly ShardRow[];
  readonly votes: readonly VoteRow[];
  /** Public keys of the devices that voted. */
  readonly publicKeys: ReadonlyMap<string, string>;
}

/** One leaf per shard, in shard order. A function of rows that never change after sealing, so leaves need not be stored. */
export function leavesOf({ job, shards, votes, publicKeys }: Evidence): ReceiptLeaf[] {
  const byIndex = new Map<number, VoteRow[]>();
  for (const vote of votes) {
    if (vote.refusal !== null) continue;
    const list = byIndex.get(vote.index) ?? [];
    list.push(vote);
    byIndex.set(vote.index, list);
  }
  const ordered = shards.toSorted((a, b) => a.index - b.index);
  const outputs: ShardOutput[] = ordered.flatMap((s) => (s.output === null ? [] : [{ ref: s.output, bytes: null }]));
  // The merge shard's own output is not among its inputs.
  const mapOutputs = job.spec.merge ? outputs.slice(0, -1) : outputs;
  return ordered.map((shard) => {
    const { output } = shard;
    if (output === null) throw new Error(`shard ${shard.index} of job ${job.id} has no accepted output`);
    const digest = inputDigest(job.spec, shard.index, mapOutputs);
    const agreeing = (byIndex.get(shard.index) ?? []).filter((v) => v.output.sha256 === output.sha256);
    const sealed = agreeing.map((v) => {
      const publicKey = publicKeys.get(v.device);
      if (publicKey === undefined) throw new Error(`no key of device ${v.device}, which voted on shard ${shard.index} of job ${job.id}`);
      return {
        device: v.device,
        publicKey,
        fence: v.fence,
        inputDigest: digest,
        signature: v.signature,
        ...(v.batch === undefined ? {} : { batch: v.batch }),
      };
    });
    return leafOf(shard.index, output, sealed, shard.decided);
  });
}

/**
 * Whether the merge shard's votes are about other map results than those that are accepted now: one was taken back after the
 * merge had run, and came out differently.
 */
export function isMergeStale(evidence: Evidence): boolean {
  const { job } = evidence;
  const [vote, leaf] = job.spec.merge ? lastVote(leavesOf(evidence)) : [undefined, undefined];
  if (vote === undefined || leaf === undefined || job.spec.merge === undefined) return false;
  const { fence, inputDigest: digest, batch, signature, publicKey } = vote;
  const module = job.spec.merge.module.sha256;
  const bytes = signedBytes(
    voteBytes({ job: job.id, shard: leaf.shard, fence, module, inputDigest: digest, output: leaf.output }),
    batch,
    sha256,
  );
  return bytes === null || !verify(signature, bytes, publicKey);
}

function lastVote(leaves: readonly ReceiptLeaf[]): [SealedVote | undefined, ReceiptLeaf | undefined] {
  const leaf = leaves.at(-1);
  return [leaf?.votes[0], leaf];
}

/** The signed summary of a whole job: its root covers every leaf. */
export function makeManifest(evidence: Evidence, epoch: number, key: KeyPair, at: number): ManifestRow {
  const { job } = evidence;
  const hashes = leavesOf(evidence).map((leaf) => leafHashOf(leaf, sha256));
  const maxError = maxErrorOf(job.spec);
  // Of a plain count of votes nothing else is to be said: such receipts read as they always did.
  const plain = maxError === null && evidence.shards.every((shard) => shard.decided === undefined);
  const manifest: Manifest = {
    ...(plain ? { version: 1 } : { version: 2, maxError }),
    job: job.id,
    tenant: job.tenant,
    module: job.spec.module.sha256,
    mergeModule: job.spec.merge?.module.sha256 ?? null,
    spec: specDigestOf(job.spec, sha256),
    shards: shardCount(job.spec),
    quorum: quorumOf(job.spec),
    root: toHex(merkleRoot(hashes, sha256)),
    epoch,
    sealedAt: at,
    gridKey: key.publicKey,
  };
  return { job: job.id, body: canonicalJson(manifest), signature: toHex(key.sign(manifestBytes(manifest))), sealedAt: at };
}

/** Receipts of the given shards, each of which stands alone: leaf, proof, signed manifest. */
export function makeReceipts(evidence: Evidence, row: ManifestRow, indexes: readonly number[]): Receipt[] {
  const leaves = leavesOf(evidence);
  const leafHashes = leaves.map((leaf) => leafHashOf(leaf, sha256));
  const manifest = Manifest.parse(JSON.parse(row.body));
  return indexes.flatMap((index) => {
    const leaf = leaves[index];
    return leaf === undefined ? [] : [makeReceipt({ manifest, manifestSignature: row.signature, leafHashes }, leaf, sha256)];
  });
}
