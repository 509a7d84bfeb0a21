import { Refusal } from '#runtime/kernel/errors.ts';
import type { Cancellable, Host } from '#runtime/kernel/host.ts';

/** Questions that wait for another node's answer. Each ends: with the answer, a refusal, its deadline, or its node. */
export interface PendingAsks {
  open(timeoutMs: number): { readonly question: number; readonly answer: Promise<unknown> };
  /** Its answer now depends on that node. */
  sentTo(question: number, node: string): void;
  answered(question: number, value: unknown): void;
  refused(question: number, error: unknown): void;
  /** False once it has ended: nobody waits any more. */
  isOpen(question: number): boolean;
  /** The node is gone, or a session with it, and with it perhaps question or answer. */
  nodeLost(node: string): void;
  close(): void;
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: Cancellable;
  node: string | undefined;
}

export function createPendingAsks(host: Host): PendingAsks {
  const waiting = new Map<number, Waiting>();
  let last = 0;

  function end(question: number): Waiting | undefined {
    const one = waiting.get(question);
    waiting.delete(question);
    one?.timer.cancel();
    return one;
  }

  function refuse(question: number, code: string, message: string): void {
    end(question)?.reject(new Refusal(code, message, { fix: 'Ask again; what was asked may have been done.' }));
  }

  return {
    open(timeoutMs) {
      const question = (last += 1);
      const { promise: answer, resolve, reject } = Promise.withResolvers<unknown>();
      const timer = host.scheduler.after(timeoutMs, () =>
        refuse(question, 'ASK_TIMEOUT', `the cluster did not answer within ${timeoutMs} ms`),
      );
      waiting.set(question, { resolve, reject, timer, node: undefined });
      return { question, answer };
    },
    sentTo(question, node) {
      const one = waiting.get(question);
      if (one !== undefined) one.node = node;
    },
    answered: (question, value) => end(question)?.resolve(value),
    refused: (question, error) => end(question)?.reject(error),
    isOpen: (question) => waiting.has(question),
    nodeLost(node) {
      for (const [question, one] of waiting)
        if (one.node === node) refuse(question, 'NODE_LOST', `node ${node} was lost before it answered`);
    },
    close() {
      for (const question of waiting.keys()) refuse(question, 'ACTOR_CLOSED', 'this node has left the cluster');
    },
  };
}
