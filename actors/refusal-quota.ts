/** Refused votes of one device that an actor puts on record in its life; beyond them it only answers. */
export const REFUSALS_KEPT = 100;

/**
 * Keeps a device that sends refused votes without end from filling the database: what it says first is evidence, the rest is
 * noise. One entry for each device that was ever refused.
 */
export class RefusalQuota {
  readonly #kept = new Map<string, number>();

  /** Whether one more of this device goes on record; counts it when it does. */
  take(device: string): boolean {
    const kept = this.#kept.get(device) ?? 0;
    if (kept >= REFUSALS_KEPT) return false;
    this.#kept.set(device, kept + 1);
    return true;
  }
}
