/**
 * Fixed-count quorum of one shard.
 *
 *   open ──vote──▶ open            nothing decided: enough attempts are still planned
 *   open ──vote──▶ open + another  the votes differ so much that the planned attempts cannot reach the quorum
 *   open ──vote──▶ settled         one output has `quorum` votes of different devices
 *
 * A device counts once per shard. Ties break to the lowest digest, so every coordinator decides alike. What is persisted
 * is the votes and the shard's accepted output; `planned` is recomputed when the job is activated.
 */
export interface ShardBallot {
  /** Digest of the output, by device. */
  readonly votes: Map<string, string>;
  /** Votes that came or are still expected: counted ones, leased attempts, and attempts still wanted. */
  planned: number;
}

export type Decision = 'none' | 'another' | 'accept';

export interface Verdict {
  readonly decision: Decision;
  /** The output with most votes, lowest digest first among equals. */
  readonly leading: string;
}

export function leadingDigest(votes: ReadonlyMap<string, string>): { digest: string; count: number } | null {
  const tally = new Map<string, number>();
  for (const digest of votes.values()) tally.set(digest, (tally.get(digest) ?? 0) + 1);
  let best: { digest: string; count: number } | null = null;
  for (const [digest, count] of tally) {
    if (best === null || count > best.count || (count === best.count && digest < best.digest)) best = { digest, count };
  }
  return best;
}

/** Adds a vote and decides. The caller has made sure that the device has no counting vote on this shard yet. */
export function castVote(ballot: ShardBallot, device: string, digest: string, quorum: number): Verdict {
  ballot.votes.set(device, digest);
  const best = leadingDigest(ballot.votes) ?? { digest, count: 1 };
  if (best.count >= quorum) return { decision: 'accept', leading: best.digest };
  const needed = ballot.votes.size + (quorum - best.count);
  if (needed <= ballot.planned) return { decision: 'none', leading: best.digest };
  ballot.planned += 1;
  return { decision: 'another', leading: best.digest };
}
