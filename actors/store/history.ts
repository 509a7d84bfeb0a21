import type { AttemptState } from '#actors/contract/job-states.ts';
import type { Fence } from '#actors/contract/primitives.ts';

/** Something that happened to a shard: an attempt began or ended, or a vote was refused. */
export interface HistoryRow {
  readonly at: number;
  readonly index: number;
  readonly device: string;
  readonly fence: Fence;
  /** `leased`: the attempt began; every other state: it ended so. */
  readonly event: AttemptState | 'vote refused';
  readonly reason: string | null;
}

export interface HistoryQuery {
  /** Null: of all shards. */
  readonly index: number | null;
  readonly limit: number;
  /** Only what went wrong: neither beginnings nor votes that were taken. */
  readonly trouble: boolean;
}

export interface HistoryVerbs {
  /** The newest of what happened, newest first. */
  historyOf(job: string, query: HistoryQuery): Promise<readonly HistoryRow[]>;
}

/** What people mean by trouble. */
export const CALM_EVENTS: readonly HistoryRow['event'][] = ['leased', 'voted'];
