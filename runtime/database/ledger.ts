import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import { GridError } from '#runtime/errors.ts';
import type { Backoff } from './backoff.ts';
import { isRetryable, withDatabaseRetry } from './connection-errors.ts';

/**
 * Group commit: many callers, one commit at a time, and nobody is answered before what he gave is durable.
 *
 * States: `idle` → (a change arrives; all that arrive in the same turn come along) → `committing` → (the commit ends) →
 * `gathering`, while changes wait that are fewer than a batch and younger than `maxDelayMs` → `committing` …, or `idle` when
 * none waits. So a lone change waits for nothing, and under load the batches grow by themselves: what arrives during a
 * commit is the next batch. `close` lets the rest through and takes no more. Nothing is persisted here.
 *
 * A commit that fails in a way that a later try can mend is repeated as a whole, and the queue fills meanwhile; what is
 * committed must therefore be idempotent. One that fails otherwise is cut in halves, each committed on its own, until the
 * changes at fault stand alone: they are answered with the error, their neighbours with their outcomes. The order of the
 * changes is kept throughout.
 */
export interface Ledger<Change, Outcome> {
  /**
   * Settles after the commit that holds the change.
   * @throws GridError BUSY when `maxQueued` changes wait; UNREACHABLE after `close`; else what `commit` threw for it
   */
  submit(change: Change): Promise<Outcome>;
  /** Settles when all that was taken before this call has been answered; what comes later does not matter. */
  answered(): Promise<void>;
  /** Settles when nothing waits and nothing is being committed. */
  idle(): Promise<void>;
  /** Takes no more changes, and settles when all that were taken have been answered. */
  close(): Promise<void>;
}

export interface LedgerOptions<Change, Outcome> {
  /** Makes the changes durable, all or none, and answers one outcome for each, in order. Idempotent. */
  readonly commit: (batch: readonly Change[]) => Promise<readonly Outcome[]>;
  readonly host: Host;
  /** Changes in one commit at most; default 500. */
  readonly maxBatch?: number;
  /** How long a change may wait, after a commit has ended, for others to join its batch; default 10. */
  readonly maxDelayMs?: number;
  /** Changes that may wait; default 10,000. */
  readonly maxQueued?: number;
  /** Tries at most for a commit that fails in a way that a later try can mend; default 12, about 15 s. */
  readonly attempts?: number;
  readonly backoff?: Backoff;
}

interface Entry<Change, Outcome> {
  readonly change: Change;
  readonly arrivedAt: number;
  readonly answer: PromiseWithResolvers<Outcome>;
}

export function createLedger<Change, Outcome>(options: LedgerOptions<Change, Outcome>): Ledger<Change, Outcome> {
  const { commit, host, maxBatch = 500, maxDelayMs = 10, maxQueued = 10_000 } = options;
  const retry = {
    host,
    ...(options.attempts === undefined ? {} : { attempts: options.attempts }),
    ...(options.backoff === undefined ? {} : { backoff: options.backoff }),
  };
  type Entries = readonly Entry<Change, Outcome>[];
  let queue: Entry<Change, Outcome>[] = [];
  let state: 'idle' | 'starting' | 'committing' | 'gathering' = 'idle';
  let timer: Cancellable | undefined;
  let closed = false;
  let quiet: PromiseWithResolvers<void> | undefined;
  // Answers come in the order of the changes, so the newest change speaks for all before it.
  let newest: Promise<unknown> = Promise.resolve();

  const settle = async (entries: Entries): Promise<void> => {
    try {
      const outcomes = await withDatabaseRetry(() => commit(entries.map((entry) => entry.change)), retry);
      if (outcomes.length !== entries.length) throw new MiscountedOutcomes(entries.length, outcomes.length);
      entries.forEach((entry, index) => entry.answer.resolve(outcomes[index] as Outcome));
    } catch (error) {
      if (entries.length === 1 || isRetryable(error) || error instanceof MiscountedOutcomes) {
        for (const entry of entries) entry.answer.reject(error);
        return;
      }
      const middle = Math.ceil(entries.length / 2);
      await settle(entries.slice(0, middle));
      await settle(entries.slice(middle));
    }
  };
  const commitNext = async (): Promise<void> => {
    state = 'committing';
    timer?.cancel();
    const batch = queue.slice(0, maxBatch);
    queue = queue.slice(maxBatch);
    await settle(batch);
    next();
  };
  const next = (): void => {
    const oldest = queue[0];
    if (oldest === undefined) {
      state = 'idle';
      quiet?.resolve();
      quiet = undefined;
      return;
    }
    const waits = oldest.arrivedAt + maxDelayMs - host.clock.now();
    if (closed || waits <= 0 || queue.length >= maxBatch) {
      void commitNext();
      return;
    }
    state = 'gathering';
    timer = host.scheduler.after(waits, () => void commitNext());
  };
  const arrived = (): void => {
    if (state === 'idle') {
      state = 'starting';
      host.scheduler.yieldThen(() => void commitNext());
    } else if (state === 'gathering' && queue.length >= maxBatch) {
      void commitNext();
    }
  };
  const idle = (): Promise<void> => {
    if (state === 'idle') return Promise.resolve();
    quiet ??= Promise.withResolvers<void>();
    return quiet.promise;
  };

  return {
    async submit(change) {
      if (closed) throw closedRefusal();
      if (queue.length >= maxQueued) throw fullRefusal(maxQueued);
      const answer = Promise.withResolvers<Outcome>();
      newest = answer.promise;
      queue.push({ change, arrivedAt: host.clock.now(), answer });
      arrived();
      return answer.promise;
    },
    answered: () =>
      newest.then(
        () => undefined,
        () => undefined,
      ),
    idle,
    close() {
      closed = true;
      if (state === 'gathering') void commitNext();
      return idle();
    },
  };
}

/** A defect of the `commit` function: it is not known which outcome belongs to which change, so nobody gets one. */
class MiscountedOutcomes extends Error {
  override readonly name = 'MiscountedOutcomes';

  constructor(changes: number, outcomes: number) {
    super(`A commit of ${changes} changes answered ${outcomes} outcomes.`);
  }
}

function fullRefusal(waiting: number): GridError {
  return new GridError('BUSY', `${waiting} changes wait to be written.`, { fix: 'Try again in a second.' });
}

function closedRefusal(): GridError {
  return new GridError('UNREACHABLE', 'This coordinator is stopping and takes no more changes.', {
    fix: 'Ask again: another coordinator takes over.',
  });
}
