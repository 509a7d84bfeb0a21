import type { Host } from '#runtime/kernel/host.ts';

/** Exponential waits: `minMs`, twice that, … up to `maxMs`; each is varied by ± `jitter` (0 … 1) so that many do not come back at once. */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
  readonly jitter: number;
}

/** The wait in ms before the try after `failures` failed ones (1 or more). `random` is in [0, 1). */
export function backoffMs(backoff: Backoff, failures: number, random: number): number {
  const doubled = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(doubled * (1 + backoff.jitter * (2 * random - 1)));
}

/** Settles after `ms` of the host's time. */
export function pause(host: Host, ms: number): Promise<void> {
  return new Promise((resolve) => {
    host.scheduler.after(ms, resolve);
  });
}

/** True when `work` settles within `ms` of the host's time; a rejection counts as settled. */
export function settlesWithin(host: Host, ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = host.scheduler.after(ms, () => resolve(false));
    const settled = (): void => {
      timer.cancel();
      resolve(true);
    };
    work.then(settled, settled);
  });
}
