import { wrap } from 'comlink';

import type { ReceiptCheck } from './receipt-check.ts';
import type { VerifyApi } from './verify.worker.ts';
import VerifyWorker from './verify.worker.ts?worker';

/** Checks receipts in a worker, so that the page stays quick. The worker starts with the first receipt. */
export interface Verifier {
  verify(receipt: unknown): Promise<ReceiptCheck>;
  close(): void;
}

export function createVerifier(): Verifier {
  let worker: Worker | null = null;
  return {
    async verify(receipt) {
      worker ??= new VerifyWorker();
      return wrap<VerifyApi>(worker).check(receipt);
    },
    close() {
      worker?.terminate();
      worker = null;
    },
  };
}
