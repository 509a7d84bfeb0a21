import type { Cancellable, Host } from '#runtime/kernel/host.ts';

/** The longest delay that Node's timers take; a longer one would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** The real outside world: this process's clocks, event loop and random numbers. */
export function realHost(): Host {
  return {
    clock: { now: () => performance.now(), wall: () => Date.now() },
    scheduler: {
      microtask: (run) => {
        queueMicrotask(run);
      },
      yieldThen: (run) => {
        setImmediate(run);
      },
      after,
    },
    random: () => Math.random(),
  };
}

function after(ms: number, run: () => void): Cancellable {
  const end = performance.now() + ms;
  let timer: NodeJS.Timeout;
  const arm = (): void => {
    // Rounded up: Node drops the fraction and would fire early.
    const left = Math.ceil(end - performance.now());
    timer = left > LONGEST_MS ? setTimeout(arm, LONGEST_MS) : setTimeout(run, Math.max(left, 1));
  };
  arm();
  return {
    cancel: () => {
      clearTimeout(timer);
    },
  };
}
