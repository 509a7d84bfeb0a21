import type { SignedAnswer } from '#actors/contract/answer-receipt.ts';
import type { ModelPoolRef } from '#actors/model-pool/model-pool.protocol.ts';
import { ask, protocol, tell } from '#runtime/kernel/protocol.ts';
import type { Ref } from '#runtime/kernel/ref.ts';

import type { SeenAnswer } from './answer-check.ts';

/** An answer that ended, and what its device signed about it. */
export interface FinishedAnswer {
  /** Under which the client knows it. */
  readonly id: string;
  readonly tenant: string;
  readonly modelName: string;
  readonly pool: ModelPoolRef;
  readonly seen: SeenAnswer;
  readonly receipt: SignedAnswer;
}

/** Signed answers: checked, kept, and some computed again by others. */
export const AnswersProtocol = protocol('answers', {
  finished: tell<FinishedAnswer>(),
  /** Resolves when everything that came before is in the store. */
  flush: ask(),
});
export type AnswersRef = Ref<typeof AnswersProtocol>;
