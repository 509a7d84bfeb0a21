import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import { seededRandom } from '#runtime/simulation/random.ts';

const MONOTONIC_START = 1_000;
/** 2026-01-01T00:00:00Z: far from the monotonic clock, so that mixing them up shows. */
const WALL_START = 1_767_225_600_000;
/** So many rounds without an end mean actors that keep each other busy for ever. */
const ENDLESS = 100_000;

interface VirtualTimer {
  readonly due: number;
  readonly run: () => void;
}

/** A host whose time stands still until it is advanced. For tests and simulations: no sleeping, same seed, same history. */
export interface VirtualHost extends Host {
  /** Timers that are set and neither fired nor cancelled. */
  readonly pendingTimers: number;
  /** Runs everything that can run without time passing: microtasks, settled promises, yields. */
  readonly settle: () => Promise<void>;
  /** Lets `ms` milliseconds pass: fires what falls due, in order, and settles after each. */
  readonly advance: (ms: number) => Promise<void>;
  /** Lets `ms` milliseconds pass in which nothing runs, as when a laptop sleeps: what fell due meanwhile runs late, afterwards. */
  readonly freeze: (ms: number) => Promise<void>;
  /** Sets the calendar forward (or back), as an operator or NTP would. Durations do not notice. */
  readonly skewWall: (ms: number) => void;
}

/**
 * Makes a virtual host. Microtasks are real, because handlers are async; timers and yields are virtual. Work that really leaves the
 * thread (files, sockets, the thread pool) is not waited for.
 */
export function virtualHost(seed: number): VirtualHost {
  const random = seededRandom(seed);
  let now = MONOTONIC_START;
  let wallOffset = WALL_START - MONOTONIC_START;
  let yields: (() => void)[] = [];
  /** By due time, then by order of setting. */
  const timers: VirtualTimer[] = [];

  const after = (ms: number, run: () => void): Cancellable => {
    if (Number.isNaN(ms)) throw new RangeError('a timer of NaN ms');
    const timer = { due: now + Math.max(ms, 0), run };
    let at = timers.length;
    while (at > 0 && (timers[at - 1]?.due ?? 0) > timer.due) at--;
    timers.splice(at, 0, timer);
    return {
      cancel: () => {
        const found = timers.indexOf(timer);
        if (found >= 0) timers.splice(found, 1);
      },
    };
  };

  const settle = async (): Promise<void> => {
    for (let round = 0; round < ENDLESS; round++) {
      // One turn of the real event loop runs all microtasks, those included that microtasks add.
      await new Promise((resolve) => setImmediate(resolve));
      if (yields.length === 0) return;
      const due = yields;
      yields = [];
      for (const run of due) run();
    }
    throw new Error('the host does not settle: somebody yields for ever');
  };

  const advance = async (ms: number): Promise<void> => {
    const end = now + ms;
    await settle();
    for (let next = timers[0]; next !== undefined && next.due <= end; next = timers[0]) {
      timers.shift();
      now = Math.max(now, next.due);
      next.run();
      await settle();
    }
    now = Math.max(now, end);
  };

  const freeze = async (ms: number): Promise<void> => {
    await settle();
    now += ms;
    await advance(0);
  };

  return {
    clock: { now: () => now, wall: () => Math.floor(now + wallOffset) },
    scheduler: {
      microtask: (run) => {
        queueMicrotask(run);
      },
      yieldThen: (run) => {
        yields.push(run);
      },
      after,
    },
    random,
    get pendingTimers() {
      return timers.length;
    },
    settle,
    advance,
    freeze,
    skewWall: (by) => {
      wallOffset += by;
    },
  };
}
