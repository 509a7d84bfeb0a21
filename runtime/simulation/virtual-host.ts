import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import { seededRandom } from '#runtime/simulation/random.ts';

const MONOTONIC_START = 1_000;
/** 2026-01-01T00:00:00Z: far from the monotonic clock, so that mixing them up shows. */
const WALL_START = 1_767_225_600_000;
/** Time goes in steps of 1/1024 ms: sums and differences of such times are exact, so that no rest of 1e-13 ms is waited for without end. */
const TICKS = 1_024;
/** So many rounds without an end mean actors that keep each other busy for ever. */
const ENDLESS = 100_000;

interface VirtualTimer {
  readonly due: number;
  /** Of two that are due at once the one that was set first fires first. */
  readonly order: number;
  readonly run: () => void;
  live: boolean;
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
  /** A binary heap. Cancelled timers stay in it until they come up. */
  const timers: VirtualTimer[] = [];
  let set = 0;
  let pending = 0;

  const after = (ms: number, run: () => void): Cancellable => {
    if (Number.isNaN(ms)) throw new RangeError('a timer of NaN ms');
    const timer = { due: Math.ceil((now + Math.max(ms, 0)) * TICKS) / TICKS, order: set++, run, live: true };
    push(timers, timer);
    pending += 1;
    return {
      cancel: () => {
        if (!timer.live) return;
        timer.live = false;
        pending -= 1;
      },
    };
  };

  /** The earliest timer that is not cancelled, taken out when it is due by `end`. */
  const takeDue = (end: number): VirtualTimer | undefined => {
    for (let first = timers[0]; first !== undefined; first = timers[0]) {
      if (first.live && first.due > end) return undefined;
      pop(timers);
      if (!first.live) continue;
      first.live = false;
      pending -= 1;
      return first;
    }
    return undefined;
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
    for (let next = takeDue(end); next !== undefined; next = takeDue(end)) {
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
      return pending;
    },
    settle,
    advance,
    freeze,
    skewWall: (by) => {
      wallOffset += by;
    },
  };
}

function before(a: VirtualTimer, b: VirtualTimer): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}

function push(heap: VirtualTimer[], timer: VirtualTimer): void {
  let at = heap.length;
  heap.push(timer);
  while (at > 0) {
    const above = (at - 1) >> 1;
    const parent = heap[above];
    if (parent === undefined || before(parent, timer)) break;
    heap[at] = parent;
    at = above;
  }
  heap[at] = timer;
}

/** Takes the first one out. */
function pop(heap: VirtualTimer[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    let below = 2 * at + 1;
    let child = heap[below];
    const right = heap[below + 1];
    if (child !== undefined && right !== undefined && before(right, child)) {
      below += 1;
      child = right;
    }
    if (child === undefined || before(last, child)) break;
    heap[at] = child;
    at = below;
  }
  heap[at] = last;
}
