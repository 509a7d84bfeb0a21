import { describe, expect, it } from 'vitest';

import type { VoteMessage } from '#actors/contract/agent-link.ts';
import { inBatches } from '#agent/session/vote-batches.ts';

const JOB = '6b5d3f0a-8f5e-4b0e-9f3e-2b1d6c7a8e90';
const output = { sha256: 'a'.repeat(64), size: 4 };

function vote(seq: number, place: { index: number; size: number } | null, change: Partial<VoteMessage> = {}): VoteMessage {
  const batch = place === null ? {} : { batch: { ...place, proof: [] } };
  return {
    type: 'vote',
    fence: { epoch: 1, seq },
    job: JOB,
    shard: seq,
    output,
    seconds: 1,
    signature: 'd'.repeat(128),
    ...batch,
    ...change,
  };
}

describe('votes on their way', () => {
  it('go in one message, in the order of their leaves, when their whole batch is there', () => {
    const [parcel, ...rest] = inBatches([vote(2, { index: 1, size: 2 }), vote(1, { index: 0, size: 2 })]);
    expect(rest).toEqual([]);
    expect(parcel?.message).toMatchObject({ type: 'votes', job: JOB, votes: [{ shard: 1 }, { shard: 2 }] });
    expect(parcel?.fences).toEqual([
      { epoch: 1, seq: 1 },
      { epoch: 1, seq: 2 },
    ]);
  });

  it.each([
    ['a part of a batch', [vote(1, { index: 0, size: 3 }), vote(2, { index: 1, size: 3 })]],
    ['votes on several jobs', [vote(1, { index: 0, size: 2 }), vote(2, { index: 1, size: 2 }, { job: JOB.replace('6', '7') })]],
    [
      'a batch with more bytes than a message should have',
      [
        vote(1, { index: 0, size: 2 }, { bytes: new Uint8Array(700_000) }),
        vote(2, { index: 1, size: 2 }, { bytes: new Uint8Array(700_000) }),
      ],
    ],
    ['votes that were signed alone', [vote(1, null), vote(2, null, { signature: 'e'.repeat(128) })]],
  ])('sends %s one by one, each with its own path', (_name, votes) => {
    expect(inBatches(votes).map(({ message }) => message)).toEqual(votes);
  });
});
