import type { Clock } from '#runtime/kernel/host.ts';

/**
 * Why a message was not handled: the mailbox was full; the actor had ended; the actor ended with the message still queued; its handler
 * crashed; or its handler was given up, because it did not end within the time for a shutdown.
 */
export type DeadLetterReason = 'full' | 'closed' | 'stopped' | 'crashed' | 'abandoned';

export interface DeadLetter {
  /** Whom it was for. */
  readonly path: string;
  readonly message: string;
  readonly reason: DeadLetterReason;
  /** What the handler crashed with. */
  readonly error?: unknown;
  /** Milliseconds since 1970. */
  readonly at: number;
}

const KEPT = 256;

/** Remembers what was not handled: counters for all of it, the last 256 in full, without their payloads (which may be large or secret). */
export class DeadLetters {
  readonly #clock: Clock;
  readonly #onDeadLetter: (letter: DeadLetter, payload: unknown) => void;
  readonly #counts: Record<DeadLetterReason, number> = { full: 0, closed: 0, stopped: 0, crashed: 0, abandoned: 0 };
  readonly #ring: DeadLetter[] = [];
  #total = 0;

  constructor(clock: Clock, onDeadLetter: (letter: DeadLetter, payload: unknown) => void) {
    this.#clock = clock;
    this.#onDeadLetter = onDeadLetter;
  }

  get total(): number {
    return this.#total;
  }

  get counts(): Readonly<Record<DeadLetterReason, number>> {
    return { ...this.#counts };
  }

  /** The last ones, the oldest first. */
  get recent(): readonly DeadLetter[] {
    const start = this.#ring.length < KEPT ? 0 : this.#total % KEPT;
    return [...this.#ring.slice(start), ...this.#ring.slice(0, start)];
  }

  add(letter: Omit<DeadLetter, 'at'>, payload: unknown): void {
    const dated = { ...letter, at: this.#clock.wall() };
    this.#ring[this.#total % KEPT] = dated;
    this.#total++;
    this.#counts[letter.reason]++;
    this.#onDeadLetter(dated, payload);
  }
}
