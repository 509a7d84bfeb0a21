import type { CheckpointMessage, VoteMessage } from '#actors/contract/agent-link.ts';
import type { Fence, ObjectRef, SignedRequest } from '#actors/contract/primitives.ts';
import { protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

/** One execution of one shard on this machine. */
export const AttemptProtocol = protocol('attempt', {
  /** The grid's answer to an offer. */
  upload: tell<SignedRequest | null>(),
  /** From its executor: a checkpoint lies in this file. */
  checkpointMade: tell<{ file: string; steps: number }>(),
  /** A checkpoint is wanted as soon as the module can make one. */
  checkpointNow: tell(),
  /** The grid's answer to the offer of a checkpoint. */
  uploadCheckpoint: tell<{ sha256: string; put: SignedRequest | null }>(),
  /** A new session of the grid knows nothing of an offer that the old one did not answer. */
  offerAgain: tell(),
});
export type AttemptRef = Ref<typeof AttemptProtocol>;

/** What an attempt tells the session that it belongs to. */
export interface AttemptOwner {
  offer(offer: { fence: Fence; job: string; shard: number; output: ObjectRef }): void;
  checkpoint(message: CheckpointMessage): void;
  finished(vote: VoteMessage): void;
  failed(failure: { fence: Fence; job: string; shard: number; reason: string }): void;
}
