import { vacant } from '#runtime/kernel/vacant.ts';

const FIRST_RING = 8;
const NO_RING: unknown[] = [];
const NO_CODES = new Int16Array(0);

/** Where a message would stand, and none does. */
export const NONE = 0x3fff_ffff;

/**
 * A bounded first-in-first-out queue of messages, and the hand that holds the one at work.
 *
 * A message is two words and no object. Its code is the index of its kind in the protocol; for an ask the complement (`~index`), so that
 * a negative code tells them apart. Its body is the payload of a tell, or the `PendingAsk`.
 *
 * Most actors hold at most one message at a time, so the first goes into a slot, and a ring is made when a second one waits. The slot is
 * also the hand: a message is handled where it stands. From outside it is filled only while nothing waits: that keeps the order. Slot and
 * ring stand in the object itself (actors extend it), which spares a message two indirections.
 */
export abstract class Mailbox {
  protected slotCode = NONE;
  protected slotBody: unknown = undefined;
  /** The bodies, and the codes at the same places: two bytes each, because a flood is bound by memory. */
  private ring = NO_RING;
  private codes = NO_CODES;
  private head = 0;
  private tail = 0;
  /** With fewer messages than this in the ring, one more message fits for sure. */
  private brim = 0;

  /** So many messages may wait. */
  abstract get capacity(): number;

  /** The message in the slot is in hand, it does not wait any more. */
  protected abstract get isInHand(): boolean;

  /** How many messages wait. */
  get depth(): number {
    const first = this.slotCode === NONE || this.isInHand ? 0 : 1;
    return first + ((this.tail - this.head) & (this.ring.length - 1));
  }

  /** Appends it, or answers `false` when the mailbox is full. Only when it is not idle: an idle one has its slot filled. */
  protected push(code: number, body: unknown): boolean {
    const { ring, tail } = this;
    const mask = ring.length - 1;
    if (((tail - this.head) & mask) >= this.brim) return this.pushTightly(code, body);
    ring[tail] = body;
    this.codes[tail] = code;
    this.tail = (tail + 1) & mask;
    return true;
  }

  /** Sees to it that the oldest message stands in the slot; answers `false` when there is none. */
  protected take(): boolean {
    if (this.slotCode !== NONE) return true;
    const { head, ring } = this;
    if (head === this.tail) return false;
    // As long as the ring.
    this.slotCode = this.codes[head] as number;
    this.slotBody = ring[head];
    ring[head] = undefined;
    this.head = (head + 1) & (ring.length - 1);
    return true;
  }

  /** Empties the slot. */
  protected letGo(): void {
    this.slotCode = NONE;
    this.slotBody = undefined;
  }

  /** Puts a message in front of all that wait, whatever the capacity: it was admitted before. */
  protected putBack(code: number, body: unknown): void {
    if (!this.isInHand && this.slotCode !== NONE) {
      const { slotCode, slotBody } = this;
      this.letGo();
      this.pushFirst(slotCode, slotBody);
    }
    this.pushFirst(code, body);
  }

  private pushFirst(code: number, body: unknown): void {
    if (((this.tail - this.head) & (this.ring.length - 1)) + 1 >= this.ring.length) this.grow();
    this.head = (this.head - 1) & (this.ring.length - 1);
    this.ring[this.head] = body;
    this.codes[this.head] = code;
  }

  private pushTightly(code: number, body: unknown): boolean {
    const { depth } = this;
    if (depth >= this.capacity) return false;
    if (depth === 0 && this.slotCode === NONE) {
      this.slotCode = code;
      this.slotBody = body;
      return true;
    }
    if (((this.tail - this.head) & (this.ring.length - 1)) + 1 >= this.ring.length) this.grow();
    this.ring[this.tail] = body;
    this.codes[this.tail] = code;
    this.tail = (this.tail + 1) & (this.ring.length - 1);
    return true;
  }

  /** One place of a ring stays free, so that head = tail means empty. */
  private grow(): void {
    const { ring, head, codes } = this;
    const { length } = ring;
    this.codes = new Int16Array(Math.max(FIRST_RING, length * 2));
    this.codes.set(codes);
    if (length === 0) this.ring = vacant(FIRST_RING);
    else {
      // V8 copies it at once then, and it stays an array of its kind.
      ring.length = length * 2;
      if (this.tail < head) {
        for (let at = 0; at < this.tail; at++) {
          ring[length + at] = ring[at];
          ring[at] = undefined;
        }
        this.codes.copyWithin(length, 0, this.tail);
        this.tail += length;
      }
    }
    // The slot may hold one message more.
    this.brim = Math.min(this.ring.length - 1, this.capacity - 1);
  }
}
