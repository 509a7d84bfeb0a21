import { LinkViolation } from './violation.ts';

/** How far the messages of the other side have been delivered here. */
export class Inbox {
  #last = 0;

  /** Number of the last message that was delivered; this is what an acknowledgement says. */
  get last(): number {
    return this.#last;
  }

  /**
   * `count` messages arrived, the first numbered `first`: how many at the front were delivered before and must be dropped.
   * Throws `LinkViolation` when messages in between are missing: the wire keeps order, so they can only have been withheld.
   */
  repeated(first: number, count: number): number {
    if (first > this.#last + 1) throw new LinkViolation(`Message ${first} came after message ${this.#last}.`);
    return Math.min(count, this.#last + 1 - first);
  }

  /** The next message was delivered. */
  advance(): void {
    this.#last += 1;
  }

  /** A new session counts from 1 again. */
  reset(): void {
    this.#last = 0;
  }
}
