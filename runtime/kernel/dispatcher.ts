import type { Host } from '#runtime/kernel/host.ts';

const SLICE_MS = 2;
const MESSAGES_PER_SLICE = 8192;
/** The clock is read after so many messages at most: reading it costs as much as handling two. */
const LONGEST_STRETCH = 64;
/** A stretch that took less may be followed by one that is twice as long. */
const QUICK_MS = 0.25;
/** Code that holds the thread for longer is slow, and told of. */
const SLOW_MS = 50;
/** After a slow stretch of several messages so many are timed one by one, to find out whose they are. */
const SUSPECT_MESSAGES = 256;

/** Something that takes its turn when it is its turn. */
export interface Runnable {
  /** For the dispatcher only: who stands behind it in the run queue. */
  nextReady: Runnable | null;
  /** Handles so many messages at most; answers how many it did, at least 1. Must not throw. */
  run(most: number): number;
}

/** Told how time passes while actors run. Must not throw. */
export interface Timekeeper {
  /** Before the first turn after a kick or a yield, and after the last one. */
  began(): void;
  ended(): void;
  /** After each yield, before the next turn. */
  resumed(now: number): void;
  /** After a stretch that was slow: so many messages and turns took so long. `last` was the last one that had a turn. */
  slow(messages: number, ms: number, last: Runnable): void;
}

/**
 * Gives actors their turns, in the order in which they became ready.
 *
 * The first one that becomes ready kicks the drain as a microtask. The drain goes on until nobody is ready, but yields to the event
 * loop after 2 ms or 8,192 messages, whichever comes first: the number keeps sockets quick when handlers are cheap, the time does when
 * they are not. Only a full yield lets sockets and timers through; microtasks and message ports would starve them.
 *
 * The clock is read between stretches. The first stretch of a drain is one message; it doubles, up to 64, as long as handlers are quick,
 * and a slow one makes the next stretch one message again. So slow handlers cannot overrun the slice by more than one stretch, and a
 * turn never lasts longer than a stretch.
 */
export class Dispatcher {
  readonly #host: Host;
  readonly #timekeeper: Timekeeper;
  /** The run queue is a list through those who stand in it. */
  #first: Runnable | null = null;
  #last: Runnable | null = null;
  #draining = false;
  #suspects = 0;

  constructor(host: Host, timekeeper: Timekeeper) {
    this.#host = host;
    this.#timekeeper = timekeeper;
  }

  /** Puts it at the end of the run queue. The caller sees to it that nobody stands there twice. */
  ready(runnable: Runnable): void {
    if (this.#last === null) this.#first = runnable;
    else this.#last.nextReady = runnable;
    this.#last = runnable;
    if (!this.#draining) {
      this.#draining = true;
      this.#host.scheduler.microtask(this.#kicked);
    }
  }

  readonly #kicked = (): void => {
    this.#timekeeper.began();
    this.#drain(this.#host.clock.now());
    this.#timekeeper.ended();
  };

  readonly #resumed = (): void => {
    const now = this.#host.clock.now();
    this.#timekeeper.resumed(now);
    this.#timekeeper.began();
    this.#drain(now);
    this.#timekeeper.ended();
  };

  #drain(began: number): void {
    const sliceEnd = began + SLICE_MS;
    let before = began;
    let messages = 0;
    let stretch = 1;
    let left = 1;
    for (let runnable = this.#first; runnable !== null; runnable = this.#first) {
      this.#first = runnable.nextReady;
      if (this.#first === null) this.#last = null;
      else runnable.nextReady = null;
      left -= runnable.run(left);
      if (left > 0 && this.#first !== null) continue;
      const now = this.#host.clock.now();
      const took = now - before;
      const ran = stretch - left;
      messages += ran;
      this.#suspects = ran > 1 && took > SLOW_MS ? SUSPECT_MESSAGES : Math.max(this.#suspects - ran, 0);
      if (took > SLOW_MS) this.#timekeeper.slow(ran, took, runnable);
      if ((messages >= MESSAGES_PER_SLICE || now > sliceEnd) && this.#first !== null) {
        this.#host.scheduler.yieldThen(this.#resumed);
        return;
      }
      before = now;
      stretch = took > QUICK_MS || this.#suspects > 0 ? 1 : Math.min(stretch * 2, LONGEST_STRETCH);
      left = stretch;
    }
    this.#draining = false;
  }
}
