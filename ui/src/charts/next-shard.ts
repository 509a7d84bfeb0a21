import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';

/** The first shard in this state after `from`, around the end if need be; null when there is none. */
export function nextShardIn(states: Uint8Array, state: ShardState, from: number | null): number | null {
  const byte = SHARD_STATES.indexOf(state);
  const after = from === null ? -1 : states.indexOf(byte, from + 1);
  const found = after === -1 ? states.indexOf(byte) : after;
  return found === -1 ? null : found;
}
