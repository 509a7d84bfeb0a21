import { comparatorOf, maxErrorOf, quorumOf, shardCount } from '#actors/contract/job-spec.ts';
import { toHex } from '#actors/contract/hex.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import {
  leafOf,
  makeReceipt,
  Manifest,
  manifestBytes,
  specDigestOf,
  type Receipt,
  type ReceiptLeaf,
  voteBytes,
} from '#actors/contract/receipt.ts';
import { signedBytes } from '#actors/contract/vote-batch.ts';
import type { JobRow, ManifestRow, ShardRow, VoteRow } from '#actors/store/store.ts';
import { canonicalJson } from '#runtime/identity/canonical.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

import { inputDigest, isMergeShard, moduleOf, type ShardOutput } from './run-command.ts';

/** Evidence of some shards of a job, or of all. Rows may come in any order. */
export interface Evidence {
  readonly job: JobRow;
  /** Outputs of the map shards in their order: needed where the merge shard is. */
  readonly mapOutputs: readonly ShardOutput[];
  readonly shards: readonly ShardRow[];
  readonly votes: readonly VoteRow[];
  /** Public keys of the devices that voted. */
  readonly publicKeys: ReadonlyMap<string, string>;
  /** Keys that the device had before, the oldest first; only of those that had others. */
  readonly formerKeys?: ReadonlyMap<string, readonly string[]>;
  /** Which result a vote is for, by the text of its fence, where a comparator decides and bytes differ. */
  readonly groups?: ReadonlyMap<string, string>;
}

/** One leaf per shard, in shard order. A function of rows that never change after sealing, so leaves need not be stored. */
export function leavesOf(evidence: Evidence): ReceiptLeaf[] {
  const { job, mapOutputs, shards, votes, groups } = evidence;
  const byIndex = new Map<number, VoteRow[]>();
  for (const vote of votes) {
    if (vote.refusal !== null) continue;
    const list = byIndex.get(vote.index) ?? [];
    list.push(vote);
    byIndex.set(vote.index, list);
  }
  const ordered = shards.toSorted((a, b) => a.index - b.index);
  return ordered.map((shard) => {
    const { output } = shard;
    if (output === null) throw new Error(`shard ${shard.index} of job ${job.id} has no accepted output`);
    const digest = inputDigest(job.spec, shard.index, mapOutputs);
    const agreeing = (byIndex.get(shard.index) ?? []).filter((v) => (groups?.get(fenceText(v.fence)) ?? v.output.sha256) === output.sha256);
    const sealed = agreeing.map((v) => {
      const publicKey = keyOf(evidence, v, digest);
      return {
        device: v.device,
        publicKey,
        fence: v.fence,
        inputDigest: digest,
        signature: v.signature,
        ...(v.output.sha256 === output.sha256 ? {} : { output: v.output }),
        ...(v.batch === undefined ? {} : { batch: v.batch }),
      };
    });
    return leafOf(shard.index, output, sealed, shard.decided);
  });
}

/** The key that the device had when it voted: of those that it ever had, the one that the signature is of. */
function keyOf({ job, publicKeys, formerKeys }: Evidence, vote: VoteRow, inputDigest: string): string {
  const current = publicKeys.get(vote.device);
  if (current === undefined) throw new Error(`no key of device ${vote.device}, which voted on shard ${vote.index} of job ${job.id}`);
  const former = formerKeys?.get(vote.device) ?? [];
  if (former.length === 0) return current;
  const { index, fence, output, batch, signature } = vote;
  const module = moduleOf(job.spec, index).sha256;
  const bytes = signedBytes(voteBytes({ job: job.id, shard: index, fence, module, inputDigest, output }), batch, sha256);
  return former.find((key) => bytes !== null && verify(signature, bytes, key)) ?? current;
}

/**
 * Whether the merge shard's votes are about other map results than those that are accepted now: one was taken back after the
 * merge had run, and came out differently.
 */
export function isMergeStale({ id, spec }: Pick<JobRow, 'id' | 'spec'>, leaf: ReceiptLeaf): boolean {
  const [vote] = leaf.votes;
  if (vote === undefined || spec.merge === undefined || !isMergeShard(spec, leaf.shard)) return false;
  const { fence, inputDigest: digest, batch, signature, publicKey, output = leaf.output } = vote;
  const module = spec.merge.module.sha256;
  const bytes = signedBytes(voteBytes({ job: id, shard: leaf.shard, fence, module, inputDigest: digest, output }), batch, sha256);
  return bytes === null || !verify(signature, bytes, publicKey);
}

/** What a manifest says that its job's spec does not. */
export interface Sealed {
  /** Merkle root over the leaves of all shards. */
  readonly root: Uint8Array;
  /** All results were plain counts of votes: nothing else is to be said, and such receipts read as they always did. */
  readonly plain: boolean;
}

/** Small outputs of a leaf whose votes differ in their bytes, for whoever wants to compare them again; undefined: there is nothing to compare. */
export function comparedOutputs(leaf: ReceiptLeaf, votes: readonly VoteRow[]): Record<string, string> | undefined {
  const names = new Set(leaf.votes.flatMap(({ output }) => output?.sha256 ?? []));
  if (names.size === 0) return undefined;
  names.add(leaf.output.sha256);
  return Object.fromEntries(
    votes.flatMap(({ index, output, bytes, refusal }) =>
      index === leaf.shard && refusal === null && bytes !== null && names.has(output.sha256)
        ? [[output.sha256, Buffer.from(bytes).toString('base64')] as const]
        : [],
    ),
  );
}

/** The signed summary of a whole job: its root covers every leaf. */
export function makeManifest(job: JobRow, { root, plain }: Sealed, epoch: number, { key, at }: { key: KeyPair; at: number }): ManifestRow {
  const comparator = comparatorOf(job.spec);
  const manifest: Manifest = {
    ...(plain ? { version: 1 } : { version: 2, maxError: maxErrorOf(job.spec), ...(comparator === null ? {} : { comparator }) }),
    job: job.id,
    tenant: job.tenant,
    module: job.spec.module.sha256,
    mergeModule: job.spec.merge?.module.sha256 ?? null,
    spec: specDigestOf(job.spec, sha256),
    shards: shardCount(job.spec),
    quorum: quorumOf(job.spec),
    root: toHex(root),
    epoch,
    sealedAt: at,
    gridKey: key.publicKey,
  };
  return { job: job.id, body: canonicalJson(manifest), signature: toHex(key.sign(manifestBytes(manifest))), sealedAt: at };
}

/** Receipts of some shards, each of which stands alone: leaf, proof, signed manifest. `leafHashes` are those of all shards. */
export function makeReceipts(row: ManifestRow, leafHashes: readonly Uint8Array[], leaves: readonly ReceiptLeaf[]): Receipt[] {
  const manifest = Manifest.parse(JSON.parse(row.body));
  return leaves.map((leaf) => makeReceipt({ manifest, manifestSignature: row.signature, leafHashes }, leaf, sha256));
}
