import type { Assembly } from './assembly.ts';
import type { LanePosition, LaneWindow } from './lane.ts';
import { LinkViolation } from './violation.ts';

/** Sizes are estimated by the sender; the tables around large bodies come on top of it. */
const SLACK_BYTES = 64 * 1024;

interface Held {
  readonly bytes: number;
  consumed: boolean;
}

/**
 * How far the messages of the other side have come here, in one lane: delivered to the owner, and consumed by it. What is
 * delivered and not consumed is what a slow owner costs; a peer that sends beyond the window breaks the protocol.
 */
export class Inbox {
  readonly #window: LaneWindow;
  #last = 0;
  #consumed = 0;
  /** Delivered and not consumed, from number `#consumed + 1` on; those before `#head` are done. */
  #held: Held[] = [];
  #head = 0;
  #heldBytes = 0;
  /** The large message that is coming in. It outlives its connection: the next one goes on with it. */
  assembly: Assembly | undefined;

  constructor(window: LaneWindow) {
    this.#window = window;
  }

  /** Number of the last message that was delivered. */
  get last(): number {
    return this.#last;
  }

  /** Number up to which everything was consumed; this is what an acknowledgement says. */
  get consumed(): number {
    return this.#consumed;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get position(): LanePosition {
    return { seen: this.#last, consumed: this.#consumed, partial: this.assembly?.received ?? 0 };
  }

  /**
   * `count` messages arrived, the first numbered `first`: how many at the front were delivered before and must be dropped.
   * Throws `LinkViolation` when messages in between are missing: the wire keeps order, so they can only have been withheld.
   */
  repeated(first: number, count: number): number {
    if (first > this.#last + 1) throw new LinkViolation(`Message ${first} came after message ${this.#last}.`);
    return Math.min(count, this.#last + 1 - first);
  }

  /** Throws `LinkViolation` when so much more is beyond the window. An empty window takes one message of any size. */
  admit(messages: number, bytes: number): void {
    const held = this.#held.length - this.#head;
    if (held + messages > this.#window.messages && held + messages > 1)
      throw new LinkViolation(`More than ${this.#window.messages} messages are not consumed.`);
    if (held + messages > 1 && this.#heldBytes + bytes > this.#window.bytes + SLACK_BYTES)
      throw new LinkViolation(`More than ${this.#window.bytes} bytes are not consumed.`);
  }

  /** The next message was delivered and consumed. */
  advance(): void {
    this.#last += 1;
    if (this.#head === this.#held.length) this.#consumed += 1;
    else this.#held.push({ bytes: 0, consumed: true });
  }

  /** The next message was delivered; the answer tells that it was consumed, and says how many are free now in order. */
  hold(bytes: number): () => number {
    this.#last += 1;
    const held = { bytes, consumed: false };
    this.#held.push(held);
    this.#heldBytes += bytes;
    return () => {
      held.consumed = true;
      return this.#release();
    };
  }

  #release(): number {
    const before = this.#consumed;
    for (let held = this.#held[this.#head]; held?.consumed === true; held = this.#held[this.#head]) {
      this.#heldBytes -= held.bytes;
      this.#head += 1;
      this.#consumed += 1;
    }
    if (this.#head > 32 && this.#head * 2 > this.#held.length) {
      this.#held = this.#held.slice(this.#head);
      this.#head = 0;
    }
    return this.#consumed - before;
  }
}
