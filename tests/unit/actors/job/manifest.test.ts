import { describe, expect, it } from 'vitest';

import { JobSpec } from '#actors/contract/job-spec.ts';
import { voteBytes } from '#actors/contract/receipt.ts';
import { type Evidence, isMergeStale as isLeafStale, leavesOf } from '#actors/job/manifest.ts';
import { inputDigest, moduleOf } from '#actors/job/run-command.ts';
import type { JobRow, ShardRow, VoteRow } from '#actors/store/store.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair } from '#runtime/identity/keys.ts';

const key = generateKeyPair();
const DEVICE = 'dev-0000000001';
const object = (text: string) => ({ sha256: sha256Hex(new TextEncoder().encode(text)), size: text.length });

/** Two map shards and a merge of them, one vote each, signed over the map results as they were when the merge ran. */
function evidence(mapWas: readonly string[], mapIs: readonly string[], merge = true): Evidence {
  const module = object('module');
  const spec = JobSpec.parse({
    version: 1,
    name: 'merged',
    kind: 'wasm',
    module,
    shards: { count: mapIs.length },
    quorum: 1,
    ...(merge ? { merge: { module: object('merge module') } } : {}),
  });
  const job: JobRow = {
    id: '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90',
    partition: 0,
    tenant: 'default',
    submittedBy: 'ann',
    spec,
    state: 'sealing',
    reason: null,
    submittedAt: 1,
    finishedAt: null,
  };
  const outputs = [...mapIs, ...(merge ? ['merged'] : [])].map(object);
  const inputs = mapWas.map((text) => ({ ref: object(text), bytes: null }));
  const votes = outputs.map((output, index): VoteRow => {
    const fence = { epoch: 1, seq: index + 1 };
    const claim = {
      job: job.id,
      shard: index,
      fence,
      module: moduleOf(spec, index).sha256,
      inputDigest: inputDigest(spec, index, inputs),
      output,
    };
    const signature = Buffer.from(key.sign(voteBytes(claim))).toString('hex');
    return { fence, job: job.id, shardId: index, index, device: DEVICE, output, bytes: null, signature, refusal: null, at: 1 };
  });
  const shards = outputs.map((output, index): ShardRow => {
    return { id: index, index, state: 'provisional', wanted: 0, failures: 0, output, coreOnly: false };
  });
  const mapOutputs = mapIs.map((text) => ({ ref: object(text), bytes: null }));
  return { job, mapOutputs, shards, votes, publicKeys: new Map([[DEVICE, key.publicKey]]) };
}

const isMergeStale = (all: Evidence): boolean => leavesOf(all).some((leaf) => isLeafStale(all.job, leaf));

describe('a merge', () => {
  it('stands while the map results are those that it ran on', () => {
    expect(isMergeStale(evidence(['a', 'b'], ['a', 'b']))).toBe(false);
  });

  it('is stale when a map result came out differently afterwards', () => {
    expect(isMergeStale(evidence(['a', 'lie'], ['a', 'b']))).toBe(true);
  });

  it('that there is none of is never stale', () => {
    expect(isMergeStale(evidence(['a', 'b'], ['a', 'b'], false))).toBe(false);
  });
});
