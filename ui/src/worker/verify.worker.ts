import '../app/no-eval.ts';

import { expose } from 'comlink';

import { checkReceipt } from './receipt-check.ts';

/** The worker's side of `verifier.ts`. Plain JavaScript cryptography: browsers have none of their own on http:// origins. */
const api = { check: checkReceipt };
export type VerifyApi = typeof api;

expose(api);
