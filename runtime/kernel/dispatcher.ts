import type { Host } from '#runtime/kernel/host.ts';
import { vacant } from '#runtime/kernel/vacant.ts';

const SLICE_MS = 2;
const TURNS_PER_SLICE = 2048;
/** Reading the clock costs as much as handling several messages. */
const TURNS_PER_CLOCK_READ = 64;
const FIRST_RING = 1024;

/** Something that takes its turn when it is its turn. Must not throw. */
export interface Runnable {
  run(): void;
}

/**
 * Gives actors their turns, in the order in which they became ready.
 *
 * The first one that becomes ready kicks the drain as a microtask. The drain goes on until nobody is ready, but yields to the event
 * loop after 2 ms or 2,048 turns, whichever comes first: the turns keep sockets quick when handlers are cheap, the time does when they
 * are not. Only a full yield lets sockets and timers through; microtasks and message ports would starve them.
 */
export class Dispatcher {
  readonly #host: Host;
  readonly #onYield: (now: number) => void;
  #ring = vacant<Runnable>(FIRST_RING);
  #mask = FIRST_RING - 1;
  #head = 0;
  #tail = 0;
  #draining = false;

  /** `onYield` runs after each yield, before the next turn, with the monotonic time. */
  constructor(host: Host, onYield: (now: number) => void) {
    this.#host = host;
    this.#onYield = onYield;
  }

  /** Puts it at the end of the run queue. The caller sees to it that nobody stands there twice. */
  ready(runnable: Runnable): void {
    this.#ring[this.#tail] = runnable;
    this.#tail = (this.#tail + 1) & this.#mask;
    if (this.#tail === this.#head) this.#grow();
    if (!this.#draining) {
      this.#draining = true;
      this.#host.scheduler.microtask(this.#drain);
    }
  }

  readonly #drain = (): void => {
    let turns = 0;
    let sliceEnd = 0;
    while (this.#head !== this.#tail) {
      const runnable = this.#ring[this.#head];
      this.#ring[this.#head] = undefined;
      this.#head = (this.#head + 1) & this.#mask;
      runnable?.run();
      if (++turns % TURNS_PER_CLOCK_READ === 0) {
        const now = this.#host.clock.now();
        if (sliceEnd === 0) sliceEnd = now + SLICE_MS;
        if (turns >= TURNS_PER_SLICE || now > sliceEnd) {
          this.#host.scheduler.yieldThen(this.#resume);
          return;
        }
      }
    }
    this.#draining = false;
  };

  readonly #resume = (): void => {
    this.#onYield(this.#host.clock.now());
    this.#drain();
  };

  #grow(): void {
    const length = this.#ring.length;
    const ring = vacant<Runnable>(length * 2);
    for (let i = 0; i < length; i++) ring[i] = this.#ring[(this.#head + i) & this.#mask];
    this.#ring = ring;
    this.#mask = ring.length - 1;
    this.#head = 0;
    this.#tail = length;
  }
}
