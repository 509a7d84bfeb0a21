import { Refusal } from '#runtime/kernel/errors.ts';

import type { NodeMessage } from './node-message.ts';

export type RefusalMessage = Extract<NodeMessage, { type: 'refusal' }>;

/** A failed ask on its way to the asker. What is not an expected failure says nothing of the inside. */
export function refusalOf(question: number, error: unknown, message?: string): RefusalMessage {
  if (!Refusal.is(error)) {
    return { type: 'refusal', question, code: 'ACTOR_CLOSED', message: message ?? 'the actor could not answer' };
  }
  const { path, fix } = error;
  return {
    type: 'refusal',
    question,
    code: error.code,
    message: error.message,
    ...(path === undefined ? {} : { path }),
    ...(fix === undefined ? {} : { fix }),
  };
}

export function errorOf({ code, message, path, fix }: RefusalMessage): Refusal {
  return new Refusal(code, message, { ...(path === undefined ? {} : { path }), ...(fix === undefined ? {} : { fix }) });
}
