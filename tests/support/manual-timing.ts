import type { Timing } from '../../ui/src/live/timing.ts';

/** The pages' time under a test's hand. */
export interface ManualTiming extends Timing {
  /** Moves the clock and runs what came due, in order. */
  advance(ms: number): void;
  /** Draws the next frame. */
  frame(): void;
  /** Timers that still wait: a leak when a test ends. */
  readonly waiting: number;
}

export function manualTiming(start = 1_000_000): ManualTiming {
  let now = start;
  let timers: { at: number; run: () => void }[] = [];
  let frames: (() => void)[] = [];
  return {
    now: () => now,
    after(ms, run) {
      const timer = { at: now + ms, run };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    nextFrame(run) {
      frames.push(run);
    },
    advance(ms) {
      const until = now + ms;
      for (;;) {
        const next = timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
        if (!next) break;
        timers = timers.filter((timer) => timer !== next);
        now = next.at;
        next.run();
      }
      now = until;
    },
    frame() {
      const due = frames;
      frames = [];
      for (const run of due) run();
    },
    get waiting() {
      return timers.length;
    },
  };
}
