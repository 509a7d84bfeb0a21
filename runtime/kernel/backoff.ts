export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** Share of the pause by which it varies both ways, 0 to 1. */
  readonly jitter: number;
}

/** The pause before restart number `attempt` (from 1): doubling from `minMs` to `maxMs`, varied so that crowds do not restart in step. */
export function backoffMs(attempt: number, options: BackoffOptions, random: () => number): number {
  const pause = Math.min(options.maxMs, options.minMs * 2 ** (attempt - 1));
  return pause * (1 + options.jitter * (2 * random() - 1));
}
