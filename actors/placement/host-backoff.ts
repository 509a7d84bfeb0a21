/**
 * Hosts that keep failing at an app get a pause from it: BOINC's schedulers feed such hosts for ever (BOINC/boinc#3061).
 * Two failures in a row are bad luck. From the third on the pause doubles, from a second to an hour; one good result ends it.
 * Of an app that fails everywhere the shard's own limit of failures speaks first.
 */
const FREE_FAILURES = 2;
const FIRST_MS = 1_000;
const LONGEST_MS = 3_600_000;
/** Pairs of device and app that are remembered; the oldest are forgotten first. */
const REMEMBERED = 100_000;

export class HostBackoff {
  readonly #failures = new Map<string, { count: number; until: number }>();

  failed(device: string, app: string, at: number): void {
    const key = `${device} ${app}`;
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    const pause = count <= FREE_FAILURES ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** (count - FREE_FAILURES - 1));
    this.#failures.delete(key);
    this.#failures.set(key, { count, until: at + pause });
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > REMEMBERED && oldest !== undefined) this.#failures.delete(oldest);
  }

  succeeded(device: string, app: string): void {
    if (this.#failures.size > 0) this.#failures.delete(`${device} ${app}`);
  }

  /** Until when (wall clock, ms) this device gets none of this app's work; 0 when it may have it. */
  until(device: string, app: string): number {
    return this.#failures.size === 0 ? 0 : (this.#failures.get(`${device} ${app}`)?.until ?? 0);
  }
}
