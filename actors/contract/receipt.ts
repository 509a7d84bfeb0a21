import { z } from 'zod';

import { canonicalJson } from '#runtime/identity/canonical.ts';

import { keyListBytes, type SignedKeyList } from './former-keys.ts';
import { fromHex, toHex } from './hex.ts';
import type { JobSpec } from './job-spec.ts';
import { headProblem, isInLog, LogProof } from './manifest-log.ts';
import { inclusionProof, leafHash, type Sha256Function, verifyInclusion } from './merkle.ts';
import { Comparator, groupsOf, readComparable } from './comparator.ts';
import {
  DeviceId,
  Fence,
  fenceText,
  INLINE_LIMIT,
  JobId,
  Label,
  MAX_SHARDS,
  ObjectRef,
  PublicKey,
  Sha256,
  Signature,
} from './primitives.ts';
import { signedBytes, VoteBatch } from './vote-batch.ts';

/**
 * What gets signed, and the paper that proves it afterwards.
 *
 *   vote      a device signs: this output, of this shard, made by this module from this input, under this fence
 *   leaf      one for each shard: the output and the votes that agreed on it
 *   manifest  the grid signs, when a job is sealed: the job, and the root of the Merkle tree over its leaves
 *   receipt   manifest, one leaf, and the path between them: checked offline by `verifyReceipt`
 *
 * Every signed text starts with a name of its own and a zero byte, so that no signature can be passed off as another kind.
 * Pure and safe in browsers.
 */

const encoder = new TextEncoder();

/** Under this much a path of a tree of MAX_SHARDS leaves always fits. */
const MAX_PROOF = 32;
const MAX_VOTES = 64;

// --- votes ----------------------------------------------------------------------------------------------------------

/** What a device says with its signature. */
export interface VoteStatement {
  readonly job: string;
  readonly shard: number;
  readonly fence: Fence;
  /** SHA-256 of the module that ran, which for the merge shard is the merge module's. */
  readonly module: string;
  /** As `inputDigestOf` makes it. */
  readonly inputDigest: string;
  readonly output: ObjectRef;
}

/** The bytes that a vote's signature covers. Takes these fields and no others, whatever else the object carries. */
export function voteBytes({ job, shard, fence, module, inputDigest, output }: VoteStatement): Uint8Array {
  // Written out because every vote passes here several times; a test holds it equal to canonicalJson.
  return encoder.encode(
    `corpgrid.vote.v1\0{"fence":{"epoch":${fence.epoch},"seq":${fence.seq}},"inputDigest":${JSON.stringify(inputDigest)},"job":${JSON.stringify(job)},` +
      `"module":${JSON.stringify(module)},"output":{"sha256":${JSON.stringify(output.sha256)},"size":${output.size}},"shard":${shard}}`,
  );
}

/** All that an execution depends on besides its module. */
export interface InputStatement {
  readonly args: readonly string[];
  /** SHA-256 of each part of the standard input, in order. */
  readonly inputs: readonly string[];
  /** Whether each part is preceded by its length. */
  readonly framed: boolean;
}

/** One SHA-256 (hex) over arguments and inputs; both the grid and the device compute it. */
export function inputDigestOf({ args, inputs, framed }: InputStatement, sha256: Sha256Function): string {
  return toHex(sha256(signedText('corpgrid.input.v1', { args, inputs, framed })));
}

// --- sealing --------------------------------------------------------------------------------------------------------

/** A vote as the receipt carries it; the rest of its statement stands in the leaf and the manifest. */
export const SealedVote = z.strictObject({
  device: DeviceId,
  publicKey: PublicKey,
  fence: Fence,
  inputDigest: Sha256,
  signature: Signature,
  /** What it voted for, when that is not the leaf's output but one that the job's comparator takes for the same result. */
  output: ObjectRef.optional(),
  /** The signature covers a batch of votes of this device, and this one stands here in it. */
  batch: VoteBatch.optional(),
});
export type SealedVote = z.infer<typeof SealedVote>;

export const ReceiptLeaf = z.strictObject({
  shard: z.number().int().min(0).max(MAX_SHARDS),
  output: ObjectRef,
  votes: z.array(SealedVote).min(1).max(MAX_VOTES),
  /** What decided: so many equal votes, belief in their devices, or the word of a trusted one. From manifests of version 2 on. */
  by: z.enum(['quorum', 'belief', 'core']).optional(),
  /** How far the result was believed when the job was sealed; null when votes were only counted. */
  belief: z.number().min(0).max(1).nullable().optional(),
});
export type ReceiptLeaf = z.infer<typeof ReceiptLeaf>;

const MANIFEST = {
  job: JobId,
  tenant: Label.refine((text) => !/[\ud800-\udfff]/u.test(text), 'expected well-formed Unicode'),
  module: Sha256,
  /** Module of the last shard when the job has a merge, else null. */
  mergeModule: Sha256.nullable(),
  /** As `specDigestOf` makes it. */
  spec: Sha256,
  /** All of them, the merge shard included: the size of the tree. */
  shards: z
    .number()
    .int()
    .min(1)
    .max(MAX_SHARDS + 1),
  quorum: z.number().int().min(1).max(9),
  /** Merkle root over the leaves, shard 0 first. */
  root: Sha256,
  /** Epoch of the job's partition when it was sealed. */
  epoch: z.number().int().nonnegative(),
  /** Milliseconds since 1970. */
  sealedAt: z.number().int().nonnegative(),
  /** The key that signed this. */
  gridKey: PublicKey,
};
export const Manifest = z.discriminatedUnion('version', [
  z.strictObject({ version: z.literal(1), ...MANIFEST }),
  z.strictObject({
    version: z.literal(2),
    ...MANIFEST,
    /** The error that the job allowed; null when it counted votes. */
    maxError: z.number().gt(0).lt(1).nullable(),
    /** How outputs were compared; left out: by their bytes. */
    comparator: Comparator.optional(),
  }),
]);
export type Manifest = z.infer<typeof Manifest>;

export const Receipt = z.strictObject({
  version: z.literal(1),
  manifest: Manifest,
  manifestSignature: Signature,
  leaf: ReceiptLeaf,
  /** From the leaf up to the root. */
  proof: z.array(Sha256).max(MAX_PROOF),
  /** Small outputs that the comparator took for the same result, in base64 by their SHA-256: to be compared again. */
  outputs: z
    .record(Sha256, z.base64().max(2 * INLINE_LIMIT))
    .refine((all) => Object.keys(all).length <= MAX_VOTES + 1)
    .optional(),
  /** Where the manifest stands in the grid's log of all manifests. */
  log: LogProof.optional(),
});
export type Receipt = z.infer<typeof Receipt>;

/** SHA-256 (hex) of the spec's canonical JSON. */
export function specDigestOf(spec: JobSpec, sha256: Sha256Function): string {
  return toHex(sha256(encoder.encode(canonicalJson(spec))));
}

/** The leaf of a shard, votes in the order of their fences: the same votes always make the same leaf. */
export function leafOf(
  shard: number,
  output: ObjectRef,
  votes: readonly SealedVote[],
  decided?: { readonly by: 'quorum' | 'belief' | 'core'; readonly belief: number | null },
): ReceiptLeaf {
  const ordered = votes.toSorted((a, b) => a.fence.epoch - b.fence.epoch || a.fence.seq - b.fence.seq);
  const leaf = { shard, output: { sha256: output.sha256, size: output.size }, votes: ordered };
  return decided === undefined ? leaf : { ...leaf, by: decided.by, belief: decided.belief };
}

/** A leaf as the tree of its manifest holds it. */
export function leafHashOf(leaf: ReceiptLeaf, sha256: Sha256Function): Uint8Array {
  return leafHash(encoder.encode(canonicalJson(leaf)), sha256);
}

/** The bytes that the grid's signature covers. */
export function manifestBytes(manifest: Manifest): Uint8Array {
  return signedText('corpgrid.manifest.v1', manifest);
}

/** The receipt of one shard out of the leaf hashes of all of them. @throws RangeError when the job has no such shard */
export function makeReceipt(
  sealed: { readonly manifest: Manifest; readonly manifestSignature: string; readonly leafHashes: readonly Uint8Array[] },
  leaf: ReceiptLeaf,
  sha256: Sha256Function,
): Receipt {
  const proof = inclusionProof(sealed.leafHashes, leaf.shard, sha256).map(toHex);
  return { version: 1, manifest: sealed.manifest, manifestSignature: sealed.manifestSignature, leaf, proof };
}

/** The module that a shard of this job ran. */
export function moduleOf(manifest: Manifest, shard: number): string {
  return manifest.mergeModule !== null && shard === manifest.shards - 1 ? manifest.mergeModule : manifest.module;
}

function signedText(name: string, value: unknown): Uint8Array {
  return encoder.encode(`${name}\0${canonicalJson(value)}`);
}

// --- checking -------------------------------------------------------------------------------------------------------

export interface ReceiptChecks {
  readonly sha256: Sha256Function;
  /** Ed25519 by the law of runtime/identity: signature in hex, signed bytes, public key in hex. Must not throw. */
  readonly verify: (signature: string, message: Uint8Array, publicKey: string) => boolean;
  /** The grid's key as the checker knows it from elsewhere. Without it a receipt proves only that *somebody* sealed it. */
  readonly gridKey?: string;
  /** Keys that are no device's key any more, as the grid signed them. */
  readonly formerKeys?: SignedKeyList;
}

export interface ReceiptCheck {
  readonly name:
    | 'schema'
    | 'leaf-in-tree'
    | 'manifest-signature'
    | 'in-log'
    | 'grid-key'
    | 'vote-signatures'
    | 'votes-agree'
    | 'distinct-devices'
    | 'quorum'
    | 'former-keys'
    | 'answer-signature'
    | 'answer-text'
    | 'audit';
  readonly ok: boolean;
  /** One sentence for people: what was found. */
  readonly detail: string;
}

export interface ReceiptVerdict {
  /** True when every check passed. Read the warnings all the same. */
  readonly ok: boolean;
  readonly checks: readonly ReceiptCheck[];
  readonly warnings: readonly string[];
}

/**
 * Checks a receipt against nothing but itself and, when it is pinned, the grid's key. Needs no network and trusts no field
 * before the check that covers it. Never throws on hostile input: what does not fit the schema fails the first check, and the
 * others are not made.
 */
export function verifyReceipt(receipt: unknown, tools: ReceiptChecks): ReceiptVerdict {
  const parsed = Receipt.safeParse(receipt);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return {
      ok: false,
      checks: [{ name: 'schema', ok: false, detail: `${issue?.path.join('.') || 'receipt'}: ${issue?.message ?? 'wrong form'}` }],
      warnings: [],
    };
  }
  const { data } = parsed;
  const checks = [
    { name: 'schema', ok: true, detail: 'receipt of version 1' } as const,
    checkLeaf(data, tools),
    checkManifestSignature(data, tools),
    ...(data.log === undefined ? [] : [checkLog(data, data.log, tools)]),
    ...(tools.gridKey === undefined ? [] : [checkGridKey(data, tools.gridKey)]),
    checkVoteSignatures(data, tools),
    checkAgreement(data, tools),
    checkDevices(data),
    checkQuorum(data),
    ...(tools.formerKeys === undefined ? [] : [checkFormerKeys(data, tools.formerKeys, tools)]),
  ];
  return { ok: checks.every((check) => check.ok), checks, warnings: warningsFor(data, tools) };
}

function warningsFor(receipt: Receipt, { gridKey }: ReceiptChecks): string[] {
  const { manifest, leaf, outputs = {} } = receipt;
  const warnings: string[] = [];
  if (otherOutputs(receipt).some((name) => !(name in outputs) || !(leaf.output.sha256 in outputs)))
    warnings.push('outputs that differ in their bytes were compared by the grid and are too large to be in the receipt');
  if (manifest.quorum === 1 && (leaf.by ?? 'quorum') === 'quorum')
    warnings.push('unverified: one device computed this and nobody checked it');
  if (gridKey === undefined) warnings.push(`the grid's key was not pinned: compare ${manifest.gridKey} with what your grid says`);
  return warnings;
}

function checkLeaf({ manifest, leaf, proof }: Receipt, { sha256 }: ReceiptChecks): ReceiptCheck {
  const inclusion = {
    leafHash: leafHashOf(leaf, sha256),
    index: leaf.shard,
    size: manifest.shards,
    proof: proof.map(fromHex),
    root: fromHex(manifest.root),
  };
  const ok = verifyInclusion(inclusion, sha256);
  const place = `shard ${leaf.shard} of ${manifest.shards}`;
  return { name: 'leaf-in-tree', ok, detail: ok ? `${place} is in the sealed tree` : `the leaf is not ${place} in the sealed tree` };
}

function checkManifestSignature({ manifest, manifestSignature }: Receipt, { verify }: ReceiptChecks): ReceiptCheck {
  const ok = verify(manifestSignature, manifestBytes(manifest), manifest.gridKey);
  return {
    name: 'manifest-signature',
    ok,
    detail: ok ? `signed by grid key ${manifest.gridKey}` : `not signed by grid key ${manifest.gridKey}`,
  };
}

function checkLog({ manifest, manifestSignature }: Receipt, log: LogProof, { sha256, verify }: ReceiptChecks): ReceiptCheck {
  const { size } = log.log.head;
  const inLog = isInLog({ body: canonicalJson(manifest), signature: manifestSignature }, log, sha256);
  const problem =
    headProblem(log.log, manifest.gridKey, verify) ?? (inLog ? null : 'the manifest is not where it is said to be in the log');
  return { name: 'in-log', ok: problem === null, detail: problem ?? `entry ${log.position} of ${size} in the log of manifests` };
}

function checkGridKey({ manifest }: Receipt, pinned: string): ReceiptCheck {
  const ok = manifest.gridKey === pinned;
  return {
    name: 'grid-key',
    ok,
    detail: ok ? 'it is the pinned grid key' : `sealed with ${manifest.gridKey}, but the pinned grid key is ${pinned}`,
  };
}

function checkVoteSignatures({ manifest, leaf }: Receipt, { verify, sha256 }: ReceiptChecks): ReceiptCheck {
  const module = moduleOf(manifest, leaf.shard);
  const wrong = leaf.votes.filter(({ fence, inputDigest, signature, publicKey, batch, output = leaf.output }) => {
    const statement = { job: manifest.job, shard: leaf.shard, fence, module, inputDigest, output };
    const bytes = signedBytes(voteBytes(statement), batch, sha256);
    return bytes === null || !verify(signature, bytes, publicKey);
  });
  const ok = wrong.length === 0;
  return {
    name: 'vote-signatures',
    ok,
    detail: ok
      ? `${leaf.votes.length} of ${leaf.votes.length} votes signed this output`
      : `wrong signature of ${wrong.map((vote) => vote.device).join(', ')}`,
  };
}

/** The signatures already cover what each voted for; votes count together only when they had one input and, as the job compares, one output. */
function checkAgreement(receipt: Receipt, { sha256 }: ReceiptChecks): ReceiptCheck {
  const { leaf } = receipt;
  const agree = (ok: boolean, detail: string): ReceiptCheck => ({ name: 'votes-agree', ok, detail });
  const inputs = new Set(leaf.votes.map((vote) => vote.inputDigest));
  if (inputs.size !== 1) return agree(false, `the votes are about ${inputs.size} different inputs`);
  const others = otherOutputs(receipt);
  if (others.length === 0) return agree(true, `one input, one output: ${leaf.output.sha256}`);
  const comparator = receipt.manifest.version === 2 ? receipt.manifest.comparator : undefined;
  if (comparator === undefined) return agree(false, 'the votes are about different outputs, and the job compares bytes');
  if (leaf.votes[0]?.output !== undefined) return agree(false, "the accepted output is not the first vote's");
  const values = new Map<string, ReturnType<typeof readComparable>>();
  for (const [name, text] of Object.entries(receipt.outputs ?? {})) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    if (toHex(sha256(bytes)) !== name) return agree(false, `the output under the name ${name} has another hash`);
    values.set(name, readComparable(comparator, bytes));
  }
  if (others.some((name) => !values.has(name)) || !values.has(leaf.output.sha256))
    return agree(true, `one input; by the grid's word ${others.length + 1} outputs are one result (${comparator.type})`);
  const compared = leaf.votes.map(({ fence, output = leaf.output }) => ({
    fence,
    sha256: output.sha256,
    value: values.get(output.sha256) ?? null,
  }));
  const ok = groupsOf(comparator, compared).every((group) => group === leaf.output.sha256);
  const what = `${others.length + 1} outputs`;
  return agree(
    ok,
    ok ? `one input, and ${what} that are one result (${comparator.type})` : `${what} are not one result (${comparator.type})`,
  );
}

/** Digests of outputs that were voted for and are not the accepted one. */
function otherOutputs({ leaf }: Receipt): string[] {
  const names = new Set(leaf.votes.flatMap(({ output }) => output?.sha256 ?? []));
  return [...names].filter((name) => name !== leaf.output.sha256);
}

/** Votes of keys that were revoked before the job was sealed do not count; the others must be enough. */
function checkFormerKeys(receipt: Receipt, { list, signature }: SignedKeyList, { verify }: ReceiptChecks): ReceiptCheck {
  const { manifest, leaf, log } = receipt;
  const check = (ok: boolean, detail: string): ReceiptCheck => ({ name: 'former-keys', ok, detail });
  if (list.gridKey !== manifest.gridKey || !verify(signature, keyListBytes(list), list.gridKey))
    return check(false, 'the list of former keys is not signed by the grid that sealed this');
  // Without its place in the log nobody knows what came first.
  const position = log?.position ?? Number.POSITIVE_INFINITY;
  const revoked = new Set(list.keys.flatMap((key) => (key.reason === 'revoked' && position >= key.until ? [key.publicKey] : [])));
  const good = leaf.votes.filter(({ publicKey }) => !revoked.has(publicKey)).length;
  if (good === leaf.votes.length) return check(true, 'no key of its votes was revoked before it was sealed');
  const needed = leaf.by === undefined || leaf.by === 'quorum' ? manifest.quorum : leaf.votes.length;
  return check(
    good >= needed,
    `${leaf.votes.length - good} of ${leaf.votes.length} votes are by keys that were revoked before it was sealed`,
  );
}

/** One machine must not count twice: not under two names, not with two attempts, and no attempt votes twice. */
function checkDevices({ leaf: { votes } }: Receipt): ReceiptCheck {
  const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;
  const ok =
    distinct(votes.map((vote) => vote.device)) &&
    distinct(votes.map((vote) => vote.publicKey)) &&
    distinct(votes.map((vote) => fenceText(vote.fence)));
  return {
    name: 'distinct-devices',
    ok,
    detail: ok ? `${votes.length} different devices` : 'a device, key or fence appears twice among the votes',
  };
}

function checkQuorum({ manifest, leaf }: Receipt): ReceiptCheck {
  const count = leaf.votes.length;
  const votes = `${count} ${count === 1 ? 'vote' : 'votes'}`;
  const decided = (ok: boolean, detail: string): ReceiptCheck => ({ name: 'quorum', ok, detail });
  if (manifest.version === 1) {
    // The grid never wrote these words under such a manifest.
    if (leaf.by !== undefined || leaf.belief !== undefined) return decided(false, 'a receipt of version 1 cannot say what decided');
    return decided(count >= manifest.quorum, `${votes}, the job asked for ${manifest.quorum}`);
  }
  if (leaf.by === 'core') return decided(true, `a device that the grid trusts decided, of ${votes}`);
  if (leaf.by === 'belief') {
    const { maxError } = manifest;
    const belief = leaf.belief ?? 0;
    const ok = maxError !== null && belief >= 1 - maxError;
    return decided(ok, `believed right with ${belief} by ${votes}; the job asked for ${maxError === null ? 'votes' : 1 - maxError}`);
  }
  return decided(leaf.by === 'quorum' && count >= manifest.quorum, `${votes}, the job asked for ${manifest.quorum}`);
}
