import type { ShardState } from '#actors/contract/job-states.ts';

/** How far a job is: its shards by state, and the votes that count. */
export interface JobTally {
  readonly counts: Record<ShardState, number>;
  votes: number;
}

export function emptyTally(): JobTally {
  return { counts: { pending: 0, leased: 0, voting: 0, provisional: 0, sealed: 0, failed: 0, blocked: 0 }, votes: 0 };
}
