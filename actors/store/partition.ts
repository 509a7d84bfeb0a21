import { sha256 } from '#runtime/identity/digest.ts';
import { PARTITIONS } from './store.ts';

/**
 * The partition of a job, for ever: the first byte of the SHA-256 of its id. Ids that begin alike (UUIDs of version 7
 * begin with the time) spread all the same.
 */
export function partitionOf(job: string): number {
  return (sha256(new TextEncoder().encode(job))[0] ?? 0) % PARTITIONS;
}
