import type { Fence } from '#actors/contract/primitives.ts';
import type { Change } from './store.ts';

/** Fences of the attempts that these changes are about. */
export function fencesOf(changes: readonly Change[]): readonly Fence[] {
  return changes.flatMap((change) => (change.type === 'reopen' ? [] : [change.type === 'end' ? change.fence : change.vote.fence]));
}
