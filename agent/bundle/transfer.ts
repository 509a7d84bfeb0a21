import { backoffMs } from '#runtime/kernel/backoff.ts';
import type { Cancellable } from '#runtime/kernel/host.ts';

/** How an agent reaches objects: addresses may be relative to its grid. */
export interface Transfer {
  readonly gridUrl: string;
  readonly signal: AbortSignal;
  readonly after: (ms: number, run: () => void) => Cancellable;
  /** [0, 1) */
  readonly random: () => number;
}

/** The bytes were not the ones that were promised, or could not be had. Trying again would not help. */
export class TransferError extends Error {
  override readonly name = 'TransferError';
}

/** A connection on which nothing moves for this long is given up: a line can be dead without a word. */
const STALL_MS = 10_000;
/** Failures in a row, with nothing moved between them, that end a transfer: enough for a coordinator to start again. */
const TRIES = 8;
const BACKOFF = { minMs: 200, maxMs: 5_000, jitter: 0.5 };

/** Given to each try: `moved` is to be called whenever bytes did, `signal` ends the try. */
export interface Try {
  readonly signal: AbortSignal;
  readonly moved: () => void;
}

/**
 * Makes a request, and again while the line or a starting server is to blame; work that is finished is not given up for a
 * cut cable. `attempt` must go on where the last one ended, or begin anew.
 *
 * @throws what `attempt` threw: at once when it is a TransferError or the signal is aborted, else after too many tries
 */
export async function persist(transfer: Transfer, attempt: (one: Try) => Promise<void>): Promise<void> {
  let failures = 0;
  for (;;) {
    const stalled = new AbortController();
    const stall = (): Cancellable => transfer.after(STALL_MS, () => stalled.abort(new Error(`nothing moved for ${STALL_MS} ms`)));
    let timer = stall();
    let over = false;
    try {
      return await attempt({
        signal: AbortSignal.any([transfer.signal, stalled.signal]),
        moved() {
          // A body that is still being read when its answer has come moves nothing any more.
          if (over) return;
          failures = 0;
          timer.cancel();
          timer = stall();
        },
      });
    } catch (error) {
      failures += 1;
      if (error instanceof TransferError || transfer.signal.aborted || failures === TRIES) throw error;
    } finally {
      over = true;
      timer.cancel();
    }
    await pause(transfer, backoffMs(failures, BACKOFF, transfer.random));
  }
}

/** Ends early when the transfer is aborted; the next try then says so. */
function pause({ after, signal }: Transfer, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = after(ms, done);
    function done(): void {
      timer.cancel();
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}

/** What an answer means for the transfer: nothing when it is good, an error of the right kind when it is not. */
export async function expectOk(response: Response, what: string): Promise<void> {
  if (response.ok) return;
  await response.body?.cancel();
  const message = `${what}: the store answered ${response.status}`;
  throw response.status >= 500 ? new Error(message) : new TransferError(message);
}
