import { fenceText } from '#actors/contract/primitives.ts';
import { applyChange, type Scene } from '../shard-rules.ts';
import type { Change, Outcome, VoteRow } from '../store.ts';
import { holdEpoch, type Tables } from './tables.ts';

export function commit(tables: Tables, changes: readonly Change[]): readonly Outcome[] {
  for (const { partition, epoch } of changes) holdEpoch(tables, partition, epoch);
  const scene: Scene = {
    shard: (id) => tables.shards.get(id),
    attempt: (fence) => tables.attempts.get(fenceText(fence)),
    hasVoted: (shardId, device) => tables.voters.has(`${shardId} ${device}`),
    // The rules write the rows themselves here.
    touch: () => undefined,
    record: (vote) => record(tables, vote),
  };
  return changes.map((change) => applyChange(scene, change));
}

function record(tables: Tables, vote: VoteRow): void {
  if (vote.refusal === null) {
    tables.voters.add(`${vote.shardId} ${vote.device}`);
  } else {
    const refusal = `${fenceText(vote.fence)} ${vote.signature} ${vote.at}`;
    if (tables.refusals.has(refusal)) return;
    tables.refusals.add(refusal);
  }
  const bytes = vote.bytes && new Uint8Array(vote.bytes);
  tables.jobs.get(vote.job)?.votes.push({ ...vote, bytes });
}
