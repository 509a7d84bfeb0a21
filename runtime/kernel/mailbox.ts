import { vacant } from '#runtime/kernel/vacant.ts';

const FIRST_RING = 8;
const NO_RING: unknown[] = [];

/** Where a message would stand, and none does. */
export const NONE = 0x3fff_ffff;

/**
 * A bounded first-in-first-out queue of messages.
 *
 * A message is two words and no object. Its code is the index of its kind in the protocol; for an ask the complement (`~index`), so that
 * a negative code tells them apart. Its body is the payload of a tell, or the `PendingAsk`.
 *
 * Most actors hold at most one message at a time, so the first goes into a slot and the ring is made when a second one waits.
 * The slot is filled only while the ring is empty, and emptied before it: that keeps the order. Slot and ring stand in the object itself (actors extend it),
 * which spares a message two indirections.
 */
export class Mailbox {
  readonly capacity: number;
  /** The message in hand: what `take` took last. */
  protected code = NONE;
  protected body: unknown = undefined;
  protected slotCode = NONE;
  protected slotBody: unknown = undefined;
  /** Code and body of each message side by side. */
  private ring: unknown[] = NO_RING;
  private mask = 0;
  private head = 0;
  private tail = 0;
  /** With fewer words than this in the ring, one more message fits for sure. */
  private brim = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  /** How many messages wait. */
  get depth(): number {
    return (((this.tail - this.head) & this.mask) >> 1) + (this.slotCode === NONE ? 0 : 1);
  }

  /** Appends it, or answers `false` when the mailbox is full. */
  protected push(code: number, body: unknown): boolean {
    const tail = this.tail;
    if (((tail - this.head) & this.mask) >= this.brim) return this.pushTightly(code, body);
    this.ring[tail] = code;
    this.ring[tail + 1] = body;
    this.tail = (tail + 2) & this.mask;
    return true;
  }

  /** Takes the oldest message into the hand; answers `false` when there is none. */
  protected take(): boolean {
    if (this.slotCode !== NONE) {
      this.code = this.slotCode;
      this.body = this.slotBody;
      this.slotCode = NONE;
      this.slotBody = undefined;
      return true;
    }
    const head = this.head;
    const ring = this.ring;
    if (head === this.tail) return false;
    // Even places hold codes.
    this.code = ring[head] as number;
    this.body = ring[head + 1];
    ring[head + 1] = undefined;
    this.head = (head + 2) & this.mask;
    return true;
  }

  /** Empties the hand. */
  protected letGo(): void {
    this.code = NONE;
    this.body = undefined;
  }

  private pushTightly(code: number, body: unknown): boolean {
    const depth = this.depth;
    if (depth >= this.capacity) return false;
    if (depth === 0) {
      this.slotCode = code;
      this.slotBody = body;
      return true;
    }
    if (((this.tail - this.head) & this.mask) + 2 > this.mask) this.grow();
    this.ring[this.tail] = code;
    this.ring[this.tail + 1] = body;
    this.tail = (this.tail + 2) & this.mask;
    return true;
  }

  /** One place of a ring stays free, so that head = tail means empty. */
  private grow(): void {
    const old = this.ring;
    const words = (this.tail - this.head) & this.mask;
    const ring = vacant<unknown>(Math.max(FIRST_RING * 2, old.length * 2));
    for (let at = 0; at < words; at++) ring[at] = old[(this.head + at) & this.mask];
    this.ring = ring;
    this.mask = ring.length - 1;
    this.head = 0;
    this.tail = words;
    // The slot may hold one message more.
    this.brim = Math.min(ring.length - 2, 2 * (this.capacity - 1));
  }
}
