import type { Fence } from '#actors/contract/primitives.ts';
import type { DeviceRef } from '#actors/device/device.protocol.ts';

/**
 * Attempts of one shard, as far as their device's session decides about them.
 *
 *   leased ──socket lost for 200 ms, or no result in time──▶ suspect    another attempt may be leased; this one may still vote
 *   leased, suspect ──session gone──▶ expired     likewise
 *   leased, suspect ──agent says so──▶ failed     counts towards the shard's limit of failures
 *   leased, suspect ──agent says so──▶ released   the agent gave it back (drain, shutdown): counts for nothing
 *   leased, suspect, expired ──vote──▶ voted      decided by the quorum, told to us
 *
 * Every transition but `voted` is made durable through the ledger, which also asks for the replacement; an attempt that
 * the store already ended changes nothing there, so telling twice is harmless.
 */
export interface LiveAttempt {
  readonly fence: Fence;
  readonly device: DeviceRef | null;
  state: 'leased' | 'suspect';
}

export type EndState = 'suspect' | 'expired' | 'failed' | 'released';

/** Whether the event moves the attempt at all: the second `suspect` does not. */
export function moves(attempt: LiveAttempt, event: EndState): boolean {
  return !(attempt.state === 'suspect' && event === 'suspect');
}
