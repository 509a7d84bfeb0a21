import { wrap } from 'comlink';

import type { Claim, ReceiptFinding } from './receipt-check.ts';
import type { VerifyApi } from './verify.worker.ts';

/** Checks receipts in a worker, so that the page stays quick. The worker starts with the first receipt. */
export interface Verifier {
  verify(receipt: unknown, claim: Claim): Promise<ReceiptFinding>;
  close(): void;
}

export function createVerifier(): Verifier {
  let worker: Worker | null = null;
  return {
    async verify(receipt, claim) {
      worker ??= new Worker(new URL('./verify.worker.ts', import.meta.url), { type: 'module' });
      return wrap<VerifyApi>(worker).check(receipt, claim);
    },
    close() {
      worker?.terminate();
      worker = null;
    },
  };
}
