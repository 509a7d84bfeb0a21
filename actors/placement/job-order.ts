import type { Demand } from './demand.ts';

/** A job that may have shards to place. */
export interface OpenJob {
  readonly job: string;
  readonly tenant: string;
  readonly priority: number;
  readonly submittedAt: number;
  /** Wall clock, ms; null: whenever. */
  readonly deadlineAt: number | null;
  readonly demand: Demand;
}

/** Strict priority inside one tenant; among equals the nearer deadline, then who came first. */
export function byUrgency(a: OpenJob, b: OpenJob): number {
  return (
    b.priority - a.priority ||
    (a.deadlineAt ?? Number.POSITIVE_INFINITY) - (b.deadlineAt ?? Number.POSITIVE_INFINITY) ||
    a.submittedAt - b.submittedAt ||
    (a.job < b.job ? -1 : 1)
  );
}
