import { LinkViolation } from './violation.ts';

/** Consecutive messages: the first has the number `first`. */
export interface Batch<T> {
  readonly first: number;
  readonly messages: readonly T[];
}

interface Entry<T> {
  readonly message: T;
  readonly bytes: number;
}

/**
 * What one side has sent and the other has not acknowledged yet.
 *
 * Messages are kept as messages, never as bytes: the codec's state dies with its connection, so after a resume they are
 * encoded anew (`rewind`, then `take`). A message has a number from 1 on; three marks move upwards only: acknowledged <=
 * transmitted <= last. `cursor` is the next number to put on the current connection and goes back on `rewind`.
 */
export class Outbox<T> {
  readonly #windowBytes: number;
  readonly #windowMessages: number;
  /** Entry `i` has the number `#acknowledged + 1 + i - #head`; those before `#head` are acknowledged and emptied. */
  #entries: (Entry<T> | undefined)[] = [];
  #head = 0;
  #acknowledged = 0;
  #transmitted = 0;
  #cursor = 1;
  #bytes = 0;

  constructor(window: { readonly windowBytes: number; readonly windowMessages: number }) {
    this.#windowBytes = window.windowBytes;
    this.#windowMessages = window.windowMessages;
  }

  /** Messages that are not acknowledged. */
  get size(): number {
    return this.#entries.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get pending(): boolean {
    return this.#cursor <= this.#acknowledged + this.size;
  }

  /** Takes a message of about `bytes` encoded bytes, or answers false when the window is full. An empty window takes any size. */
  offer(message: T, bytes: number): boolean {
    if (this.size > 0 && (this.size >= this.#windowMessages || this.#bytes + bytes > this.#windowBytes)) return false;
    this.#entries.push({ message, bytes });
    this.#bytes += bytes;
    return true;
  }

  /** The next messages for the current connection: at least one, then as many as fit; undefined when nothing waits. */
  take(maxBytes: number, maxMessages: number): Batch<T> | undefined {
    const first = this.#cursor;
    const messages: T[] = [];
    let bytes = 0;
    for (let i = this.#head + first - this.#acknowledged - 1; i < this.#entries.length && messages.length < maxMessages; i++) {
      const entry = this.#entries[i];
      if (entry === undefined || (messages.length > 0 && bytes + entry.bytes > maxBytes)) break;
      messages.push(entry.message);
      bytes += entry.bytes;
    }
    if (messages.length === 0) return undefined;
    this.#cursor += messages.length;
    this.#transmitted = Math.max(this.#transmitted, this.#cursor - 1);
    return { first, messages };
  }

  /** The peer has everything up to `seq`. An older number than the last is no news. Throws `LinkViolation` for one never sent. */
  acknowledge(seq: number): void {
    if (seq > this.#transmitted) throw new LinkViolation(`The peer acknowledged message ${seq}, but only ${this.#transmitted} were sent.`);
    while (this.#acknowledged < seq) {
      this.#bytes -= this.#entries[this.#head]?.bytes ?? 0;
      this.#entries[this.#head] = undefined;
      this.#head += 1;
      this.#acknowledged += 1;
    }
    this.#cursor = Math.max(this.#cursor, this.#acknowledged + 1);
    // Compact when half of the array is dead: every entry is then moved at most once on average.
    if (this.#head > 32 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Whether a peer that has seen everything up to `seq` can go on from here. */
  canResume(seq: number): boolean {
    return seq >= this.#acknowledged && seq <= this.#transmitted;
  }

  /** A new connection to a peer that has seen everything up to `seq`: everything above is to be sent again, in order. */
  rewind(seq: number): void {
    this.acknowledge(seq);
    this.#cursor = this.#acknowledged + 1;
  }

  /** Takes everything out that is not acknowledged and starts again at number 1. */
  drain(): readonly T[] {
    const messages = this.#entries.flatMap((entry) => (entry === undefined ? [] : [entry.message]));
    this.#entries = [];
    this.#head = 0;
    this.#acknowledged = 0;
    this.#transmitted = 0;
    this.#cursor = 1;
    this.#bytes = 0;
    return messages;
  }
}
