/**
 * Wakes its owner when a lease has run out. It wakes and no more: whether a lease is over, the database decides with a fenced
 * write, so that a wake-up that comes early, twice or never does no harm beyond time.
 *
 * An entry is an id and a token. The token fences: whoever renews or removes must name the one that was set last, and a holder
 * that was replaced cannot keep its successor's entry alive.
 */
export interface Presence {
  /** Starts or replaces the entry. It comes due `ttlMs` milliseconds from now. */
  set(id: string, token: string, ttlMs: number): Promise<void>;
  /** Starts the time of each entry anew. For each: false when it is not there (any more), or has another token. */
  renew(entries: readonly PresenceRenewal[]): Promise<boolean[]>;
  /** Ends the entry without a wake-up; false when it is not there or has another token. */
  remove(id: string, token: string): Promise<boolean>;
  /**
   * Names the one listener. Each entry that comes due is handed over once, never early, and is gone from then on. Entries that
   * came due before there was a listener are handed over to it at the next tick.
   *
   * @throws Error when there is a listener already
   */
  onDue(listener: (due: readonly PresenceEntry[]) => void): void;
  /** Forgets everything and stops its timers. Nothing is handed over afterwards. */
  close(): void;
}

export interface PresenceEntry {
  readonly id: string;
  readonly token: string;
}

export interface PresenceRenewal extends PresenceEntry {
  readonly ttlMs: number;
}
