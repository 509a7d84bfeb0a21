import type { ShardCounts } from '#actors/contract/live.ts';

import { CELL_LABELS, type CellKind } from './cell-kinds.ts';

/** One stretch of a job's progress bar. */
export interface Segment {
  readonly kind: CellKind;
  readonly shards: number;
}

/** A job's shards in the order of the bar: settled first, untouched last. Empty stretches are left out. */
export function segmentsOf(counts: ShardCounts, verified: boolean): Segment[] {
  const all: Segment[] = [
    { kind: verified ? 'agreed' : 'accepted', shards: settledOf(counts) },
    { kind: 'voting', shards: counts.voting },
    { kind: 'running', shards: counts.leased },
    { kind: 'failed', shards: counts.failed },
    { kind: 'waiting', shards: counts.pending },
    { kind: 'blocked', shards: counts.blocked },
  ];
  return all.filter((segment) => segment.shards > 0);
}

/** Shards whose result is accepted, sealed or not. */
export function settledOf(counts: ShardCounts): number {
  return counts.provisional + counts.sealed;
}

/** The bar in words, for those who do not see it. */
export function segmentsText(segments: readonly Segment[]): string {
  return segments.map((segment) => `${segment.shards} ${CELL_LABELS[segment.kind]}`).join(', ');
}
