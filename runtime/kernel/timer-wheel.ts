import type { Cancellable, Host } from '#runtime/kernel/host.ts';
import { vacant } from '#runtime/kernel/vacant.ts';

const SLOTS = 1024;
const NOWHERE = -2;
const FAR = -1;

/** What can be put into the wheel. It is its own list node: arming and cancelling allocate nothing. */
export abstract class WheelTimer {
  /** For the wheel only: the tick at which it expires, its list and its neighbours there. */
  due = 0;
  slot = NOWHERE;
  next: WheelTimer | null = null;
  previous: WheelTimer | null = null;

  abstract expire(): void;
}

/**
 * All deadlines of one actor system on one scheduler timer.
 *
 * A hashed timing wheel (Varghese and Lauck 1987, scheme 6) of 1,024 slots of one millisecond. What is due within the current revolution
 * stands in its slot; what is due later stands in one unordered list and moves into the slots when its revolution begins. Arming and
 * cancelling are O(1). A timer never expires early, and timers that are due in the same millisecond expire in the order of arming.
 *
 * The scheduler's timer is set for the earliest deadline. When that deadline is cancelled the scheduler's timer is left to fire for
 * nothing, once: cancelling it each time would cost an ask more than everything else.
 */
export class TimerWheel {
  readonly #host: Host;
  readonly #near = vacant<WheelTimer | null>(SLOTS).fill(null);
  #far: WheelTimer | null = null;
  #nearCount = 0;
  #farCount = 0;
  /** No later than the earliest deadline in the far list. */
  #farEarliest = Infinity;
  /** The last tick whose slot was emptied. */
  #cursor = 0;
  /** The first tick of the next revolution. */
  #horizon = SLOTS;
  #armed: Cancellable | null = null;
  #armedFor = Infinity;
  #advancing = false;

  constructor(host: Host) {
    this.#host = host;
  }

  /** How many timers are pending. */
  get size(): number {
    return this.#nearCount + this.#farCount;
  }

  /** Lets it expire in `ms` milliseconds. One that is pending already is moved. */
  schedule(timer: WheelTimer, ms: number): void {
    this.cancel(timer);
    const now = this.#host.clock.now();
    if (this.size === 0 && !this.#advancing) this.#skipTo(Math.floor(now));
    timer.due = Math.max(Math.ceil(now + ms), Math.floor(now) + 1);
    this.#insert(timer);
    if (timer.due < this.#armedFor && !this.#advancing) this.#arm(timer.due);
  }

  /** Takes it out; does nothing when it is not in. */
  cancel(timer: WheelTimer): void {
    const slot = timer.slot;
    if (slot === NOWHERE) return;
    const { next, previous } = timer;
    const only = next === timer;
    if (next !== null && previous !== null) {
      next.previous = previous;
      previous.next = next;
    }
    if (slot === FAR) {
      this.#farCount--;
      if (this.#far === timer) this.#far = only ? null : next;
      if (this.#farCount === 0) this.#farEarliest = Infinity;
    } else {
      this.#nearCount--;
      if (this.#near[slot] === timer) this.#near[slot] = only ? null : next;
    }
    timer.slot = NOWHERE;
    timer.next = null;
    timer.previous = null;
  }

  /** Expires all that is due at `now`, in order of deadline. */
  advance(now: number): void {
    if (this.#advancing) return;
    this.#advancing = true;
    const target = Math.floor(now);
    while (this.#cursor < target) {
      if (this.#nearCount === 0) {
        const revolution = this.#farEarliest - (this.#farEarliest % SLOTS);
        if (this.#farCount === 0 || revolution > target) {
          this.#skipTo(target);
          break;
        }
        if (revolution > this.#cursor) this.#skipTo(revolution - 1);
      }
      this.#cursor++;
      if (this.#cursor === this.#horizon) this.#nextRevolution();
      this.#expireSlot(this.#cursor % SLOTS);
    }
    this.#advancing = false;
    const next = this.#earliest();
    if (next < this.#armedFor) this.#arm(next);
  }

  /** Forgets all timers and gives the scheduler's timer back. */
  close(): void {
    this.#armed?.cancel();
    this.#armed = null;
    this.#armedFor = Infinity;
    for (let slot = 0; slot < SLOTS; slot++) {
      for (let timer = this.#near[slot]; timer !== null && timer !== undefined; timer = this.#near[slot]) this.cancel(timer);
    }
    while (this.#far !== null) this.cancel(this.#far);
  }

  #insert(timer: WheelTimer): void {
    if (timer.due < this.#horizon) {
      const slot = timer.due % SLOTS;
      this.#near[slot] = appended(this.#near[slot] ?? null, timer);
      timer.slot = slot;
      this.#nearCount++;
    } else {
      this.#far = appended(this.#far, timer);
      timer.slot = FAR;
      this.#farCount++;
      if (timer.due < this.#farEarliest) this.#farEarliest = timer.due;
    }
  }

  #expireSlot(slot: number): void {
    for (let timer = this.#near[slot]; timer !== null && timer !== undefined; timer = this.#near[slot]) {
      this.cancel(timer);
      timer.expire();
    }
  }

  /** Moves what falls due in the revolution that begins at the cursor into its slots. */
  #nextRevolution(): void {
    this.#horizon = this.#cursor + SLOTS;
    if (this.#farEarliest >= this.#horizon) return;
    const far: WheelTimer[] = [];
    for (let timer = this.#far; timer !== null; timer = timer.next === this.#far ? null : timer.next) far.push(timer);
    this.#farEarliest = Infinity;
    for (const timer of far) {
      if (timer.due < this.#horizon) {
        this.cancel(timer);
        this.#insert(timer);
      } else if (timer.due < this.#farEarliest) this.#farEarliest = timer.due;
    }
  }

  /** Only when no slot before `tick` is taken. */
  #skipTo(tick: number): void {
    if (tick <= this.#cursor) return;
    this.#cursor = tick;
    this.#horizon = tick - (tick % SLOTS) + SLOTS;
  }

  #earliest(): number {
    if (this.#nearCount === 0) return this.#farCount === 0 ? Infinity : this.#farEarliest;
    let tick = this.#cursor + 1;
    while (this.#near[tick % SLOTS] === null) tick++;
    return tick;
  }

  #arm(due: number): void {
    this.#armed?.cancel();
    this.#armedFor = due;
    this.#armed = this.#host.scheduler.after(due - this.#host.clock.now(), this.#fired);
  }

  readonly #fired = (): void => {
    this.#armed = null;
    this.#armedFor = Infinity;
    this.advance(this.#host.clock.now());
  };
}

/** Appends to a circular list and answers its head. */
function appended(head: WheelTimer | null, timer: WheelTimer): WheelTimer {
  if (head === null || head.previous === null) {
    timer.next = timer;
    timer.previous = timer;
    return timer;
  }
  const last = head.previous;
  timer.previous = last;
  timer.next = head;
  last.next = timer;
  head.previous = timer;
  return head;
}
