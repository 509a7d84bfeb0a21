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
  readonly _host: Host;
  readonly _onYield: (now: number) => void;
  _ring = vacant<Runnable>(FIRST_RING);
  _mask = FIRST_RING - 1;
  _head = 0;
  _tail = 0;
  _draining = false;

  /** `onYield` runs after each yield, before the next turn, with the monotonic time. */
  constructor(host: Host, onYield: (now: number) => void) {
    this._host = host;
    this._onYield = onYield;
  }

  /** Puts it at the end of the run queue. The caller sees to it that nobody stands there twice. */
  ready(runnable: Runnable): void {
    this._ring[this._tail] = runnable;
    this._tail = (this._tail + 1) & this._mask;
    if (this._tail === this._head) this._grow();
    if (!this._draining) {
      this._draining = true;
      this._host.scheduler.microtask(this._drain);
    }
  }

  readonly _drain = (): void => {
    let turns = 0;
    let sliceEnd = 0;
    while (this._head !== this._tail) {
      const runnable = this._ring[this._head];
      this._ring[this._head] = null;
      this._head = (this._head + 1) & this._mask;
      runnable?.run();
      if (++turns % TURNS_PER_CLOCK_READ === 0) {
        const now = this._host.clock.now();
        if (sliceEnd === 0) sliceEnd = now + SLICE_MS;
        if (turns >= TURNS_PER_SLICE || now > sliceEnd) {
          this._host.scheduler.yieldThen(this._resume);
          return;
        }
      }
    }
    this._draining = false;
  };

  readonly _resume = (): void => {
    this._onYield(this._host.clock.now());
    this._drain();
  };

  _grow(): void {
    const length = this._ring.length;
    const ring = vacant<Runnable>(length * 2);
    for (let i = 0; i < length; i++) ring[i] = this._ring[(this._head + i) & this._mask] ?? null;
    this._ring = ring;
    this._mask = ring.length - 1;
    this._head = 0;
    this._tail = length;
  }
}
