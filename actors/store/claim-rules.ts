import type { Assignment, Candidate } from './store.ts';

/** True when at least one of these devices may run the shard. */
export function anyMayRun(devices: readonly string[], barred: readonly string[]): boolean {
  return devices.some((device) => !barred.includes(device));
}

/**
 * The assignments of a placement that a claim carries out, in their order. Left out: shards that are no candidates,
 * devices that were not offered or are barred, a device twice on one shard, and whatever is more than a shard wants.
 */
export function admissible(
  candidates: readonly Candidate[],
  devices: readonly string[],
  assignments: readonly Assignment[],
): readonly { readonly candidate: Candidate; readonly device: string }[] {
  const offered = new Set(devices);
  const open = new Map(
    candidates.map((candidate) => [candidate.shardId, { candidate, taken: new Set(candidate.barred), left: candidate.wanted }]),
  );
  return assignments.flatMap(({ shardId, device }) => {
    const shard = open.get(shardId);
    if (!shard || shard.left === 0 || !offered.has(device) || shard.taken.has(device)) return [];
    shard.taken.add(device);
    shard.left -= 1;
    return [{ candidate: shard.candidate, device }];
  });
}
