import type { LanePosition, LaneWindow } from './lane.ts';
import { LinkViolation } from './violation.ts';

/** Consecutive messages: the first has the number `first`. */
export interface Batch<T> {
  readonly first: number;
  readonly messages: readonly T[];
  /** About so many encoded bytes. */
  readonly bytes: number;
  /** Bytes of the first message that the peer has already: not 0 only after a wire that broke in the middle of it. */
  readonly offset: number;
}

interface Entry<T> {
  readonly message: T;
  readonly bytes: number;
}

/**
 * What one side has sent in one lane and the other has not consumed yet.
 *
 * Messages are kept as messages, never as bytes: the codec's state dies with its connection, so after a resume they are
 * encoded anew (`rewind`, then `take`). A message has a number from 1 on; the marks move upwards only: acknowledged (consumed
 * by the peer) <= transmitted <= last. `cursor` is the next number to put on the current connection and goes back on `rewind`.
 * `seen`, known from a resume only, says up to where the peer has the messages, consumed or not: those are not sent again, but
 * count against the window until they are consumed.
 */
export class Outbox<T> {
  #windowBytes: number;
  #windowMessages: number;
  /** Entry `i` has the number `#acknowledged + 1 + i - #head`; those before `#head` are acknowledged and emptied. */
  #entries: (Entry<T> | undefined)[] = [];
  #head = 0;
  #acknowledged = 0;
  #seen = 0;
  #transmitted = 0;
  #cursor = 1;
  /** Bytes that the peer has of the message at the cursor. */
  #offset = 0;
  #bytes = 0;

  constructor(window: LaneWindow) {
    this.#windowBytes = window.bytes;
    this.#windowMessages = window.messages;
  }

  /** How much the peer takes from now on. */
  resize(window: LaneWindow): void {
    this.#windowBytes = window.bytes;
    this.#windowMessages = window.messages;
  }

  /** Messages that are not acknowledged. */
  get size(): number {
    return this.#entries.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** About so many encoded bytes has the message at the cursor; Infinity when the peer has its front already, 0 when nothing waits. */
  get nextBytes(): number {
    if (this.#offset > 0) return Infinity;
    return this.#entries[this.#head + this.#cursor - this.#acknowledged - 1]?.bytes ?? 0;
  }

  get pending(): boolean {
    return this.#cursor <= this.#acknowledged + this.size;
  }

  /** Takes a message of about `bytes` encoded bytes, or answers false when the window is full. An empty window takes any size. */
  offer(message: T, bytes: number): boolean {
    if (this.size > 0 && (this.size >= this.#windowMessages || this.#bytes + bytes > this.#windowBytes)) return false;
    this.put(message, bytes);
    return true;
  }

  /** Takes a message whatever the window: one that was accepted before, elsewhere. */
  put(message: T, bytes: number): void {
    this.#entries.push({ message, bytes });
    this.#bytes += bytes;
  }

  /** The next messages for the current connection: at least one, then as many as fit; undefined when nothing waits. */
  take(maxBytes: number, maxMessages: number): Batch<T> | undefined {
    const first = this.#cursor;
    const offset = this.#offset;
    const most = offset > 0 ? 1 : maxMessages;
    const messages: T[] = [];
    let bytes = 0;
    for (let i = this.#head + first - this.#acknowledged - 1; i < this.#entries.length && messages.length < most; i++) {
      const entry = this.#entries[i];
      if (entry === undefined || (messages.length > 0 && bytes + entry.bytes > maxBytes)) break;
      messages.push(entry.message);
      bytes += entry.bytes;
    }
    if (messages.length === 0) return undefined;
    this.#offset = 0;
    this.#cursor += messages.length;
    this.#transmitted = Math.max(this.#transmitted, this.#cursor - 1);
    return { first, messages, bytes, offset };
  }

  /** The peer has consumed everything up to `seq`. An older number than the last is no news. Throws `LinkViolation` for one never sent. */
  acknowledge(seq: number): void {
    if (seq > this.#transmitted) throw new LinkViolation(`The peer acknowledged message ${seq}, but only ${this.#transmitted} were sent.`);
    while (this.#acknowledged < seq) {
      this.#bytes -= this.#entries[this.#head]?.bytes ?? 0;
      this.#entries[this.#head] = undefined;
      this.#head += 1;
      this.#acknowledged += 1;
    }
    if (this.#cursor <= this.#acknowledged) {
      this.#cursor = this.#acknowledged + 1;
      this.#offset = 0;
    }
    // Compact when half of the array is dead: every entry is then moved at most once on average.
    if (this.#head > 32 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Whether a peer that has come so far can go on from here. */
  canResume({ seen, partial }: LanePosition): boolean {
    return seen >= Math.max(this.#acknowledged, this.#seen) && (partial > 0 ? seen + 1 : seen) <= this.#transmitted;
  }

  /** A new connection to a peer that has come so far: everything above is to be sent again, in order. */
  rewind({ seen, consumed, partial }: LanePosition): void {
    this.acknowledge(consumed);
    this.#seen = seen;
    this.#cursor = seen + 1;
    this.#offset = partial;
  }

  /** Takes everything out that the peer is not known to have, and starts again at number 1. */
  drain(): readonly T[] {
    const first = this.#acknowledged + 1 - this.#head;
    const messages = this.#entries.flatMap((entry, i) => (entry === undefined || first + i <= this.#seen ? [] : [entry.message]));
    this.#entries = [];
    this.#head = 0;
    this.#acknowledged = 0;
    this.#seen = 0;
    this.#transmitted = 0;
    this.#cursor = 1;
    this.#offset = 0;
    this.#bytes = 0;
    return messages;
  }
}
