import { wrap, type Remote } from 'comlink';

import type { Claim, ReceiptFinding } from './receipt-check.ts';
import type { VerifyApi } from './verify.worker.ts';

/** Checks receipts in a worker, so that the page stays quick. The worker starts with the first receipt. */
export interface Verifier {
  verify(receipt: unknown, claim: Claim): Promise<ReceiptFinding>;
  close(): void;
}

export function createVerifier(): Verifier {
  // One stub for the worker's whole life: comlink tells a worker to stop listening when a stub of it is collected as garbage.
  let started: { worker: Worker; remote: Remote<VerifyApi> } | null = null;

  function start(): { worker: Worker; remote: Remote<VerifyApi> } {
    const worker = new Worker(new URL('./verify.worker.ts', import.meta.url), { type: 'module' });
    return { worker, remote: wrap<VerifyApi>(worker) };
  }

  return {
    async verify(receipt, claim) {
      started ??= start();
      const { worker, remote } = started;
      // A worker that cannot start answers nothing at all; its error event is the only sign.
      const { promise: failed, reject } = Promise.withResolvers<never>();
      const onError = (): void => reject(new Error('the worker that checks receipts failed'));
      worker.addEventListener('error', onError);
      try {
        return await Promise.race([remote.check(receipt, claim), failed]);
      } finally {
        worker.removeEventListener('error', onError);
      }
    },
    close() {
      started?.worker.terminate();
      started = null;
    },
  };
}
