import type { Assignment, Candidate } from '#actors/store/store.ts';

/** Free slots by device; what `place` hands out is taken off a copy, never off the original. */
export type FreeSlots = ReadonlyMap<string, number>;

/**
 * Matches candidates to free slots: candidates in the order given (priority, then age), each on the least loaded device
 * that is not barred; equal loads break to the lower device id, so the outcome is a function of its input alone.
 *
 * A shard never gets two attempts on one device, and no device more attempts than it has free slots.
 */
export function place(candidates: readonly Candidate[], free: FreeSlots): Assignment[] {
  const left = new Map(free);
  const order = [...left.keys()].sort();
  const assignments: Assignment[] = [];
  for (const candidate of candidates) {
    const barred = new Set(candidate.barred);
    for (let n = 0; n < candidate.wanted; n++) {
      const device = freest(order, left, barred);
      if (device === undefined) break;
      barred.add(device);
      left.set(device, (left.get(device) ?? 0) - 1);
      assignments.push({ shardId: candidate.shardId, device });
    }
  }
  return assignments;
}

function freest(order: readonly string[], left: FreeSlots, barred: ReadonlySet<string>): string | undefined {
  let best: string | undefined;
  let most = 0;
  for (const device of order) {
    const slots = left.get(device) ?? 0;
    if (slots > most && !barred.has(device)) {
      best = device;
      most = slots;
    }
  }
  return best;
}
