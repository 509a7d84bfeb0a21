import type { Host } from '#runtime/kernel/host.ts';

/**
 * Fires when something that owes signs of life has given none for `silenceMs`. Asleep until `arm`; `feed` counts as a sign
 * of life and keeps it armed; `disarm` puts it back to sleep, also after it fired.
 */
export interface Watchdog {
  arm(): void;
  feed(): void;
  disarm(): void;
}

export function createWatchdog(host: Pick<Host, 'clock' | 'scheduler'>, silenceMs: number, onSilence: () => void): Watchdog {
  let timer: { cancel(): void } | undefined;
  let fedAt = 0;

  // Feeding is frequent and timers are not free: one timer runs, and looks again when it was fed meanwhile.
  function watch(ms: number): void {
    timer = host.scheduler.after(ms, () => {
      const silent = host.clock.now() - fedAt;
      if (silent < silenceMs) return watch(silenceMs - silent);
      timer = undefined;
      onSilence();
    });
  }

  return {
    arm() {
      if (timer !== undefined) return;
      fedAt = host.clock.now();
      watch(silenceMs);
    },
    feed() {
      fedAt = host.clock.now();
    },
    disarm() {
      timer?.cancel();
      timer = undefined;
    },
  };
}
