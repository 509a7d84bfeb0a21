import { PARTITIONS } from '#actors/store/store.ts';
import { sha256 } from '#runtime/identity/digest.ts';

/** The partition of a job: all actors of one job live where its partition lives. */
export function partitionOf(job: string): number {
  return (sha256(new TextEncoder().encode(job))[0] ?? 0) % PARTITIONS;
}
