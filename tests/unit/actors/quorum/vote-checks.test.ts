import { describe, expect, it } from 'vitest';

import { VotesMessage, type VoteMessage } from '#actors/contract/agent-link.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { batchVotes } from '#actors/contract/vote-batch.ts';
import {
  openBatch,
  refusalByHash,
  refusalByLease,
  refusalBySignature,
  rememberingVerify,
  type VoteContext,
} from '#actors/quorum/vote-checks.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';
import { verify } from '#runtime/identity/verify.ts';

const JOB = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';
const key = generateKeyPair();
const bytes = new TextEncoder().encode('forty-two');
const claim = { module: 'a'.repeat(64), inputDigest: 'b'.repeat(64) };
const fence = { epoch: 7, seq: 3 };

function vote(change: Partial<VoteMessage> = {}): VoteMessage {
  const output = { sha256: sha256Hex(bytes), size: bytes.length };
  const signature = Buffer.from(key.sign(voteBytes({ job: JOB, shard: 1, fence, ...claim, output }))).toString('hex');
  return { type: 'vote', fence, job: JOB, shard: 1, output, bytes, seconds: 1, signature, ...change };
}

const context: VoteContext = {
  lease: { fence, shardId: 10, index: 1, device: 'dev-a' },
  device: 'dev-a',
  open: true,
  replayed: false,
  hasVoted: false,
};

describe('a vote is checked by its lease', () => {
  it('passes when everything fits', () => {
    expect(refusalByLease(vote(), context)).toBeNull();
  });

  it.each([
    ['an unknown fence', { lease: undefined }, /no such lease/],
    ["another device's lease", { device: 'dev-b' }, /another device's lease/],
    ['a replay', { replayed: true }, /replayed/],
    ['a second vote of the device', { hasVoted: true }, /already voted/],
    ['a settled shard', { open: false }, /settled/],
  ])('refuses %s', (_name, change, reason) => {
    expect(refusalByLease(vote(), { ...context, ...change })).toMatch(reason);
  });

  it('refuses a lease of another shard', () => {
    expect(refusalByLease(vote({ shard: 2 }), context)).toMatch(/another shard/);
  });
});

describe('then by its hash', () => {
  it('passes when the bytes are the ones named', () => {
    expect(refusalByHash(vote(), null)).toBeNull();
  });

  it('refuses bytes that do not have the hash, or not the size', () => {
    expect(refusalByHash(vote({ bytes: new TextEncoder().encode('forty-one') }), null)).toMatch(/altered result/);
    expect(refusalByHash(vote({ output: { sha256: sha256Hex(bytes), size: 3 } }), null)).toMatch(/altered result/);
  });

  it('refuses an output that the store does not have, or has otherwise', () => {
    const { bytes: _inline, ...large } = vote();
    expect(refusalByHash(large, null)).toMatch(/never uploaded/);
    expect(refusalByHash(large, { sha256: large.output.sha256, size: 1 })).toMatch(/another size/);
    expect(refusalByHash(large, large.output)).toBeNull();
  });

  it('refuses inline bytes above the limit, however well they fit', () => {
    const big = new Uint8Array(5_000);
    expect(refusalByHash(vote({ bytes: big, output: { sha256: sha256Hex(big), size: big.length } }), null)).toMatch(/larger than/);
  });
});

describe('then by its signature', () => {
  it('passes for the key that the session proved', () => {
    expect(refusalBySignature(vote(), key.publicKey, claim)).toBeNull();
  });

  it.each([
    ['another job', { job: '00000000-0000-4000-8000-000000000000' }],
    ['another shard', { shard: 2 }],
    ['another fence', { fence: { epoch: 7, seq: 4 } }],
    ['another output', { output: { sha256: 'c'.repeat(64), size: 9 } }],
    ['an altered signature', { signature: `${'0'.repeat(64)}${'1'.repeat(64)}` }],
  ])('refuses a signature for %s', (_name, change) => {
    expect(refusalBySignature(vote(change), key.publicKey, claim)).toMatch(/signature/);
  });

  it('refuses another module, another input, another key', () => {
    expect(refusalBySignature(vote(), key.publicKey, { ...claim, module: 'd'.repeat(64) })).not.toBeNull();
    expect(refusalBySignature(vote(), key.publicKey, { ...claim, inputDigest: 'd'.repeat(64) })).not.toBeNull();
    expect(refusalBySignature(vote(), generateKeyPair().publicKey, claim)).not.toBeNull();
  });
});

describe('votes of one batch', () => {
  const shards = [1, 2, 3];
  const outputOf = { sha256: sha256Hex(bytes), size: bytes.length };
  const fenceOf = (shard: number) => ({ epoch: 7, seq: 10 + shard });
  const { bytes: signed, places } = batchVotes(
    shards.map((shard) => voteBytes({ job: JOB, shard, fence: fenceOf(shard), ...claim, output: outputOf })),
    sha256,
  );
  const signature = Buffer.from(key.sign(signed)).toString('hex');
  const batched = (n: number, change: Partial<VoteMessage> = {}): VoteMessage => {
    const shard = shards[n] ?? 0;
    const batch = places[n];
    return vote({ shard, fence: fenceOf(shard), signature, ...(batch === undefined ? {} : { batch }), ...change });
  };

  it('cost one check of the signature', () => {
    let checks = 0;
    const remembering = rememberingVerify((...args) => {
      checks += 1;
      return verify(...args);
    });
    for (const n of [0, 1, 2]) expect(refusalBySignature(batched(n), key.publicKey, claim, remembering)).toBeNull();
    expect(checks).toBe(1);
  });

  it('are refused when the vote, its place or its key is another, although the batch is known', () => {
    const remembering = rememberingVerify();
    const refused = (message: VoteMessage, publicKey = key.publicKey) => refusalBySignature(message, publicKey, claim, remembering);
    expect(refused(batched(0))).toBeNull();
    const [first, second] = places;
    if (first === undefined || second === undefined) throw new Error('places are missing');
    expect(refused(batched(0, { batch: second }))).toMatch(/signature/);
    expect(refused(batched(0, { job: JOB.replace('6b5d', '6b5e') }))).toMatch(/signature/);
    expect(refused(batched(0, { batch: { ...first, proof: [] } }))).toMatch(/cannot stand/);
    expect(refused(batched(0), generateKeyPair().publicKey)).toMatch(/signature/);
    expect(refused(vote({ signature }))).toMatch(/signature/);
  });
});

describe('a whole batch', () => {
  const shards = [1, 2, 3];
  const output = { sha256: sha256Hex(bytes), size: bytes.length };
  const votes = shards.map((shard) => ({ fence: { epoch: 7, seq: shard }, shard, output, bytes, seconds: 1 }));
  const signed = batchVotes(
    votes.map(({ fence: at, shard }) => voteBytes({ job: JOB, shard, fence: at, ...claim, output })),
    sha256,
  );
  const message: VotesMessage = { type: 'votes', job: JOB, signature: Buffer.from(key.sign(signed.bytes)).toString('hex'), votes };
  const claimOf = (): typeof claim => claim;

  it('is proven by its one signature, and leaves each vote a proof of its own', () => {
    const opened = openBatch(message, key.publicKey, claimOf);
    expect(opened.proven).toBe(true);
    for (const one of opened.votes) expect(refusalBySignature(one, key.publicKey, claim)).toBeNull();
  });

  it.each([
    ['with its votes in another order', { votes: votes.toReversed() }],
    ['with a vote left out', { votes: votes.slice(1) }],
    ['with a vote put in', { votes: [...votes, { fence: { epoch: 7, seq: 9 }, shard: 4, output, bytes, seconds: 1 }] }],
    ['with another result', { votes: votes.map((one) => ({ ...one, output: { ...output, size: 1 } })) }],
    ['under another fence', { votes: votes.map((one) => ({ ...one, fence: { epoch: 8, seq: one.shard } })) }],
    ['on another job', { job: '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e91' }],
  ])('proves nothing %s', (_name, change) => {
    expect(openBatch({ ...message, ...change }, key.publicKey, claimOf).proven).toBe(false);
  });

  it('proves nothing for another key, input or module', () => {
    expect(openBatch(message, generateKeyPair().publicKey, claimOf).proven).toBe(false);
    expect(openBatch(message, key.publicKey, () => ({ ...claim, inputDigest: 'c'.repeat(64) })).proven).toBe(false);
    expect(openBatch(message, key.publicKey, () => ({ ...claim, module: 'c'.repeat(64) })).proven).toBe(false);
  });

  it('is bounded: one vote is no batch, and thousands are too many', () => {
    expect(VotesMessage.safeParse({ ...message, votes: votes.slice(1, 2) }).success).toBe(false);
    expect(VotesMessage.safeParse({ ...message, votes: Array.from({ length: 4_097 }, () => votes[0]) }).success).toBe(false);
    expect(VotesMessage.safeParse(message).success).toBe(true);
  });
});
