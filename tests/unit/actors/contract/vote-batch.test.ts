import { describe, expect, it } from 'vitest';

import { leafHash, merkleRoot } from '#actors/contract/merkle.ts';
import {
  leafHashOf,
  leafOf,
  makeReceipt,
  manifestBytes,
  type Manifest,
  type SealedVote,
  verifyReceipt,
  voteBytes,
} from '#actors/contract/receipt.ts';
import { batchBytes, batchVotes, MAX_VOTE_BATCH, signedBytes, VoteBatch } from '#actors/contract/vote-batch.ts';
import { canonicalJson } from '#runtime/identity/canonical.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

const JOB = '0199a3c2-7b1e-4f60-8d2a-1c5b9e7f3a11';
const key = generateKeyPair(() => new Uint8Array(32).fill(5));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const MODULE = 'a'.repeat(64);
const INPUT = 'b'.repeat(64);

function statement(shard: number, job = JOB) {
  const output = { sha256: sha256Hex(new TextEncoder().encode(`result ${shard}`)), size: 8 };
  return { job, shard, fence: { epoch: 1, seq: shard + 1 }, module: MODULE, inputDigest: INPUT, output };
}

const votes = Array.from({ length: 5 }, (_, shard) => voteBytes(statement(shard)));
const { bytes, places } = batchVotes(votes, sha256);
const signature = hex(key.sign(bytes));
const place = (n: number): VoteBatch => VoteBatch.parse(places[n]);

/** Whether the signature proves this vote at this place. */
function proves(vote: Uint8Array, batch: VoteBatch | undefined): boolean {
  const signed = signedBytes(vote, batch, sha256);
  return signed !== null && verify(signature, signed, key.publicKey);
}

describe('the bytes of a vote', () => {
  it('are the canonical JSON of its statement', () => {
    const { job, shard, fence, module, inputDigest, output } = statement(7);
    const text = `corpgrid.vote.v1\0${canonicalJson({ output, inputDigest, module, fence, shard, job })}`;
    expect(new TextDecoder().decode(voteBytes(statement(7)))).toBe(text);
  });
});

describe('a batch of votes', () => {
  it('proves each of them with one signature, and a single vote is signed as it always was', () => {
    for (const [n, vote] of votes.entries()) expect(proves(vote, place(n))).toBe(true);
    const [single] = votes;
    expect(signedBytes(single ?? new Uint8Array(), undefined, sha256)).toBe(single);
  });

  it('signs these very bytes', () => {
    const [a, b] = ['a', 'b'].map((text) => new TextEncoder().encode(text));
    const two = batchVotes([a ?? new Uint8Array(), b ?? new Uint8Array()], sha256);
    expect(new TextDecoder().decode(two.bytes)).toBe(
      'corpgrid.votes.v1\0{"root":"b137985ff484fb600db93107c77b0365c80d78f5b429ded0fd97361d077999eb","size":2}',
    );
  });

  it('proves nothing at another place, with the path of another vote, or with a path that was cut or lengthened', () => {
    const [first = new Uint8Array()] = votes;
    expect(proves(first, place(1))).toBe(false);
    expect(proves(first, { ...place(0), index: 1 })).toBe(false);
    expect(proves(first, { ...place(0), proof: place(0).proof.slice(1) })).toBe(false);
    expect(proves(first, { ...place(0), proof: place(0).proof.slice(0, -1) })).toBe(false);
    expect(proves(first, { ...place(0), proof: [...place(0).proof, MODULE] })).toBe(false);
  });

  it('proves nothing in a batch of another size, be it cut or not', () => {
    const cut = batchVotes(votes.slice(0, 4), sha256);
    const [first = new Uint8Array()] = votes;
    expect(proves(first, cut.places[0])).toBe(false);
    expect(proves(first, { ...place(0), size: 6 })).toBe(false);
    expect(proves(first, { ...place(0), size: 4 })).toBe(false);
  });

  it('proves no vote of another job, and no vote by the place of one in another batch', () => {
    expect(proves(voteBytes(statement(0, JOB.replace('0199', '0200'))), place(0))).toBe(false);
    const other = batchVotes(votes.toReversed(), sha256);
    expect(proves(votes[0] ?? new Uint8Array(), other.places[4])).toBe(false);
  });

  it('takes neither an inner node for a vote nor its own text for one', () => {
    const [a, b] = votes.map((vote) => leafHash(vote, sha256));
    const node = Buffer.concat([a ?? new Uint8Array(), b ?? new Uint8Array()]);
    const shorter = { size: 3, index: 0, proof: place(0).proof.slice(1) };
    expect(proves(node, shorter)).toBe(false);
    expect(proves(batchBytes(merkleRoot([], sha256), 5), place(0))).toBe(false);
    expect(proves(bytes, undefined)).toBe(true);
    // What was signed is no vote: no vote's text begins like this.
    expect(new TextDecoder().decode(bytes).startsWith('corpgrid.votes.v1\0')).toBe(true);
    expect(new TextDecoder().decode(votes[0]).startsWith('corpgrid.vote.v1\0')).toBe(true);
  });

  it('has between two and so many votes', () => {
    expect(() => batchVotes(votes.slice(0, 1), sha256)).toThrow(RangeError);
    expect(VoteBatch.safeParse({ size: MAX_VOTE_BATCH + 1, index: 0, proof: [] }).success).toBe(false);
    expect(VoteBatch.safeParse({ size: 1, index: 0, proof: [] }).success).toBe(false);
    expect(VoteBatch.safeParse({ size: 2, index: 0, proof: Array.from({ length: 13 }, () => MODULE) }).success).toBe(false);
  });

  it('is evidence in a receipt, vote by vote', () => {
    const grid = generateKeyPair(() => new Uint8Array(32).fill(9));
    const leaves = votes.map((_, shard) => {
      const { fence, output } = statement(shard);
      const vote: SealedVote = {
        device: 'dev-0000000001',
        publicKey: key.publicKey,
        fence,
        inputDigest: INPUT,
        signature,
        batch: place(shard),
      };
      return leafOf(shard, output, [vote]);
    });
    const leafHashes = leaves.map((leaf) => leafHashOf(leaf, sha256));
    const manifest: Manifest = {
      version: 1,
      job: JOB,
      tenant: 'physics',
      module: MODULE,
      mergeModule: null,
      spec: MODULE,
      shards: leaves.length,
      quorum: 1,
      root: hex(merkleRoot(leafHashes, sha256)),
      epoch: 1,
      sealedAt: 1,
      gridKey: grid.publicKey,
    };
    const manifestSignature = hex(grid.sign(manifestBytes(manifest)));
    for (const leaf of leaves) {
      const receipt = makeReceipt({ manifest, manifestSignature, leafHashes }, leaf, sha256);
      expect(verifyReceipt(receipt, { sha256, verify }).ok).toBe(true);
      const [vote] = leaf.votes;
      const moved = { ...receipt, leaf: { ...leaf, votes: [{ ...vote, batch: place((leaf.shard + 1) % 5) }] } };
      const wrong = verifyReceipt(moved, { sha256, verify }).checks.filter((check) => !check.ok);
      expect(wrong.map((check) => check.name)).toEqual(['leaf-in-tree', 'vote-signatures']);
    }
  });
});
