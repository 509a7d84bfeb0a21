import type { FromAgent, VoteMessage } from '#actors/contract/agent-link.ts';
import type { Fence } from '#actors/contract/primitives.ts';

/** A message, and the votes that it brings. */
export interface VoteParcel {
  readonly message: FromAgent;
  readonly fences: readonly Fence[];
}

/** What one message carries at most of outputs. */
const OUTPUT_BYTES = 1_048_576;

/** Votes as they are sent: a batch of which all votes are here, on one job and with small outputs, in one message; everything else one by one. */
export function inBatches(votes: readonly VoteMessage[]): VoteParcel[] {
  const bySignature = Map.groupBy(votes, ({ signature }) => signature);
  return [...bySignature.values()].flatMap((batch) => whole(batch) ?? batch.map((vote) => ({ message: vote, fences: [vote.fence] })));
}

function whole(batch: readonly VoteMessage[]): VoteParcel[] | null {
  const [first] = batch;
  if (first?.batch === undefined || first.batch.size !== batch.length || batch.some(({ job }) => job !== first.job)) return null;
  if (batch.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0) > OUTPUT_BYTES) return null;
  const { job, signature } = first;
  const ordered = batch.toSorted((a, b) => (a.batch?.index ?? 0) - (b.batch?.index ?? 0));
  const votes = ordered.map(({ fence, shard, output, bytes, seconds }) => {
    return { fence, shard, output, seconds, ...(bytes === undefined ? {} : { bytes }) };
  });
  return [{ message: { type: 'votes', job, signature, votes }, fences: ordered.map(({ fence }) => fence) }];
}
