import { GridError } from '#runtime/errors.ts';
import type { Host } from '#runtime/kernel/host.ts';
import { Refusal } from '#runtime/kernel/errors.ts';
import { type Backoff, backoffMs, pause } from './backoff.ts';

/**
 * What a failed statement says about the next try.
 *
 * Sources: PostgreSQL's SQLSTATE table (appendix A of its manual), Node's system errors, and the texts of `pg` and
 * `pg-pool`, which give no code when they find a connection closed.
 */

/** The connection is gone, or the server takes none at the moment. */
const LOST_STATES = new Set(['57P01', '57P02', '57P03', '57P05', '25P03', '25P04']);
const LOST_SYSTEM = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EAI_AGAIN',
]);
const LOST_TEXT = [
  'connection terminated',
  'client was closed',
  'client has encountered a connection error',
  'timeout exceeded when trying to connect',
  'timeout expired',
  'the database system is starting up',
];
/** The server is well, and the same work can succeed: serialization failure, deadlock, too many connections. */
const CONTENTION_STATES = new Set(['40001', '40P01', '40003', '53300']);

/** True when the failure came from the connection or the server's absence, so that nothing is known about the work itself. */
export function isConnectionLost(error: unknown): boolean {
  return causes(error).some(({ code, message }) => {
    if (code !== undefined) return LOST_STATES.has(code) || LOST_SYSTEM.has(code) || /^08...$/.test(code);
    return LOST_TEXT.some((text) => message.includes(text));
  });
}

/** True when the same work, if it is idempotent, can succeed on a later try. A Refusal is a verdict: never. */
export function isRetryable(error: unknown): boolean {
  if (Refusal.is(error)) return false;
  return isConnectionLost(error) || causes(error).some(({ code }) => code !== undefined && CONTENTION_STATES.has(code));
}

/**
 * What to tell the one who asked: a database that is away is an expected failure, every other error stays as it is.
 *
 * For work that keeps no state of its own. An actor that holds what the database said crashes instead, and reads it anew.
 */
export function asRefusal(error: unknown): unknown {
  // An actor that crashed over it starts again on what the database says; its asker hears what a later try can mend.
  const failure = Refusal.is(error) && error.code === 'ACTOR_CRASHED' ? error.cause : error;
  if (!isRetryable(failure)) return error;
  return new GridError('DATABASE', 'the database does not answer right now', { fix: 'try again in a moment', cause: error });
}

/** Runs `work`; rejects with a refusal when the database is away, see `asRefusal`. */
export async function refuseWhileAway<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asRefusal(error);
  }
}

/** The error, its causes and the members of aggregates (a host with two addresses fails with one), each once. */
function causes(error: unknown): { code: string | undefined; message: string }[] {
  const found = new Set<Error>();
  const open = [error];
  while (open.length > 0 && found.size < 32) {
    const next = open.pop();
    if (!(next instanceof Error) || found.has(next)) continue;
    found.add(next);
    open.push(next.cause, ...(next instanceof AggregateError ? next.errors : []));
  }
  return [...found].map((each) => ({
    code: 'code' in each && typeof each.code === 'string' ? each.code : undefined,
    message: each.message.toLowerCase(),
  }));
}

export interface RetryOptions {
  readonly host: Host;
  /** Tries at most, the first one included; default 12, with the default backoff about 15 s. */
  readonly attempts?: number;
  readonly backoff?: Backoff;
  /** Told before each wait. */
  readonly onRetry?: (error: unknown, failures: number) => void;
}

const ATTEMPTS = 12;
const BACKOFF: Backoff = { minMs: 50, maxMs: 2_000, jitter: 0.2 };

/**
 * Runs `work`, and again while it fails in a way that a later try can mend: a restarting server, a deadlock.
 *
 * The work must be idempotent: a connection that is lost during a commit does not say whether the commit happened.
 * @throws the last error when it is not retryable, or the attempts are used up
 */
export async function withDatabaseRetry<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { host, attempts = ATTEMPTS, backoff = BACKOFF, onRetry } = options;
  for (let failures = 1; ; failures += 1) {
    try {
      return await work();
    } catch (error) {
      if (failures >= attempts || !isRetryable(error)) throw error;
      onRetry?.(error, failures);
      await pause(host, backoffMs(backoff, failures, host.random()));
    }
  }
}
