import type { Timer } from '#runtime/kernel/actor.ts';

/** The last part of the grace, at most half of it: what still runs then is asked where it stands, so that another machine can go on there. */
const CLOSING_MS = 10_000;

export interface DrainOptions {
  /** Monotonic, ms. */
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => Timer;
  /** Attempts that run and votes that are not settled yet. */
  readonly unfinished: () => number;
  /** Asks every attempt for a checkpoint. */
  readonly close: () => void;
  /** Gives every attempt that still runs back to the grid. */
  readonly release: () => void;
  /** Nothing is left here. */
  readonly drained: () => void;
}

/** How a machine is emptied. */
export interface Drain {
  /** New work is not taken. */
  readonly on: boolean;
  /** A checkpoint that is made now is worth giving its attempt back for. */
  readonly closing: boolean;
  /** A second time the nearer end of the two counts, and the grid is told once more when nothing is left. */
  begin(graceMs: number): void;
  /** Takes work again. */
  end(): void;
  /** Something has ended. */
  check(): void;
}

/**
 * working ──drain──▶ finishing ──the last seconds of the grace──▶ closing ──the grace is over──▶ released ──nothing is left──▶ drained
 *
 * From finishing on, it is drained as soon as nothing is left. Votes are waited for without an end: they are on the disk, and what
 * the grid has not settled is not finished. `undrain` leads back to working from everywhere; what was given back stays so.
 */
export function createDrain({ now, after, unfinished, close, release, drained }: DrainOptions): Drain {
  let state: 'working' | 'finishing' | 'closing' | 'released' | 'drained' = 'working';
  let deadline = Number.POSITIVE_INFINITY;
  let timer: Timer | null = null;

  function check(): void {
    if (state === 'working' || state === 'drained' || unfinished() > 0) return;
    state = 'drained';
    timer?.cancel();
    drained();
  }

  function closeSoon(): void {
    const left = Math.max(0, deadline - now());
    state = 'finishing';
    timer = after(left - Math.min(CLOSING_MS, left / 2), () => {
      state = 'closing';
      close();
      timer = after(Math.max(0, deadline - now()), () => {
        state = 'released';
        release();
        check();
      });
    });
  }

  return {
    get on() {
      return state !== 'working';
    },
    get closing() {
      return state === 'closing';
    },
    begin(graceMs) {
      timer?.cancel();
      deadline = Math.min(deadline, now() + graceMs);
      closeSoon();
      check();
    },
    end() {
      timer?.cancel();
      deadline = Number.POSITIVE_INFINITY;
      state = 'working';
    },
    check,
  };
}
