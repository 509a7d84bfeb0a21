/**
 * What the kernel needs from the outside: time, randomness, scheduling.
 * `runtime/host.ts` gives the real one, `runtime/simulation/virtual-host.ts` one with virtual time.
 */

export interface Clock {
  /** Monotonic milliseconds from an arbitrary start. For durations and deadlines. */
  now(): number;
  /** Whole milliseconds since 1970 by the calendar. It may jump: for records only, never for deadlines. */
  wall(): number;
}

export interface Cancellable {
  cancel(): void;
}

export interface Scheduler {
  /** Runs it after the code on the stack, before the event loop goes on. */
  microtask(run: () => void): void;
  /** Lets the event loop serve its sockets and timers first, then runs it. */
  yieldThen(run: () => void): void;
  /** Runs it once, not before `ms` milliseconds have passed. Cancelling twice, or after it ran, does nothing. */
  after(ms: number, run: () => void): Cancellable;
}

export interface Host {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** Uniform in [0, 1). Not for secrets. */
  random(): number;
}
