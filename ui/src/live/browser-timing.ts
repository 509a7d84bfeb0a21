import type { Timing } from './timing.ts';

export const browserTiming: Timing = {
  now: () => Date.now(),
  after(ms, run) {
    const id = setTimeout(run, ms);
    return () => clearTimeout(id);
  },
  nextFrame(run) {
    requestAnimationFrame(() => run());
  },
};
