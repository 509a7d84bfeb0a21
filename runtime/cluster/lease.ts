import type { Cancellable, Host } from '#runtime/kernel/host.ts';

/**
 * This node's lease, as seen from within. States:
 *
 * - held: the last renewal was sent less than TTL minus margin ago, by this process's monotonic clock.
 * - overdue: it was not. The database may have let the lease run out, so nothing that this node owns may be used. A process
 *   that was frozen finds itself here at its first slice. A renewal that succeeds -> held.
 * - lost: a renewal was refused: the life was declared over. Final; the owner begins a new life.
 * - ended: by `stop`.
 *
 * The deadline counts from *before* the renewal was sent, so it lies before the database's own, whatever the way took.
 */
export interface Lease {
  readonly state: 'held' | 'overdue' | 'lost' | 'ended';
  /** Reads the clock. Call it at the dispatcher's slices, not for each message. Answers whether the lease is held. */
  check(): boolean;
  stop(): void;
}

export interface LeaseOptions {
  readonly host: Host;
  readonly ttlMs: number;
  readonly renewMs: number;
  readonly marginMs: number;
  /** When the renewal that began this life was sent. */
  readonly since: number;
  readonly renew: () => Promise<boolean>;
  readonly onOverdue: () => void;
  readonly onHeld: () => void;
  readonly onLost: () => void;
  readonly onFailure: (error: unknown) => void;
}

/** A renewal that failed is tried again after this long. */
const RETRY_MS = 250;

export function startLease(options: LeaseOptions): Lease {
  const { host, ttlMs, renewMs, marginMs } = options;
  let state: Lease['state'] = 'held';
  let deadline = options.since + ttlMs - marginMs;
  let next: Cancellable = host.scheduler.after(renewMs, renew);
  let alarm: Cancellable = host.scheduler.after(deadline - host.clock.now(), () => void check());

  function check(): boolean {
    if (state === 'held' && host.clock.now() >= deadline) {
      state = 'overdue';
      options.onOverdue();
    }
    return state === 'held';
  }

  function renew(): void {
    const sent = host.clock.now();
    options.renew().then(
      (renewed) => {
        if (state === 'ended' || state === 'lost') return;
        if (!renewed) {
          state = 'lost';
          stopTimers();
          return options.onLost();
        }
        deadline = sent + ttlMs - marginMs;
        alarm.cancel();
        alarm = host.scheduler.after(Math.max(0, deadline - host.clock.now()), () => void check());
        next = host.scheduler.after(renewMs, renew);
        // An answer that was long under way renews nothing that could be relied on.
        if (state === 'overdue' && host.clock.now() < deadline) {
          state = 'held';
          options.onHeld();
        }
      },
      (error: unknown) => {
        if (state === 'ended' || state === 'lost') return;
        options.onFailure(error);
        next = host.scheduler.after(RETRY_MS, renew);
      },
    );
  }

  function stopTimers(): void {
    next.cancel();
    alarm.cancel();
  }

  return {
    get state() {
      return state;
    },
    check,
    stop() {
      if (state !== 'lost') state = 'ended';
      stopTimers();
    },
  };
}
