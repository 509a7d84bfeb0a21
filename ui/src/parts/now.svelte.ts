import { createSubscriber } from 'svelte/reactivity';

import type { Timing } from '../live/timing.ts';

const TICK_MS = 1_000;

/** The time as the page shows it: moves once a second, and only while something on the page reads it. */
export function createNow(timing: Timing): { readonly current: number } {
  const track = createSubscriber((update) => {
    let cancel = (): void => {};
    const tick = (): void => {
      cancel = timing.after(TICK_MS, () => {
        update();
        tick();
      });
    };
    tick();
    return () => cancel();
  });
  return {
    get current() {
      track();
      return timing.now();
    },
  };
}
