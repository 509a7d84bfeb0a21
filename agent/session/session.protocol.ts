import type { CheckpointMessage, FromAgent, ToAgent, VoteMessage } from '#actors/contract/agent-link.ts';
import type { Fence, ObjectRef } from '#actors/contract/primitives.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

export interface SessionReport {
  readonly connected: boolean;
  readonly running: number;
  readonly unsettledVotes: number;
}

/** The agent's side of the link: obeys commands, keeps votes until they are settled, beats. */
export const SessionProtocol = protocol('session', {
  opened: tell<{ resumed: boolean }>(),
  /** From the link. `consumed` gives the grid its credit back: not before the command was carried out or refused. */
  message: tell<{ message: ToAgent; consumed: () => void }>(),
  suspended: tell(),
  refused: tell<{ reason: string; final: boolean }>(),
  /** From attempts and models. */
  offer: tell<{ fence: Fence; job: string; shard: number; output: ObjectRef }>(),
  checkpoint: tell<CheckpointMessage>(),
  finished: tell<VoteMessage>(),
  failed: tell<{ fence: Fence; job: string; shard: number; reason: string }>(),
  send: tell<FromAgent>(),
  report: ask<void, SessionReport>(),
});
export type SessionRef = Ref<typeof SessionProtocol>;
