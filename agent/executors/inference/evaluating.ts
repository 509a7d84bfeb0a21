import type { Host } from '#runtime/kernel/host.ts';

const TICK_MS = 250;

/**
 * What the watchdog on the agent's side hears: how many generations wait for the engine. It is told when that number leaves 0
 * and when it has come back to it, and in between with each batch, at most every 250 ms.
 */
export class Evaluating {
  readonly #host: Host;
  readonly #tick: (evaluating: number) => void;
  #count = 0;
  #busy = false;
  #lastTick = 0;

  constructor(host: Host, tick: (evaluating: number) => void) {
    this.#host = host;
    this.#tick = tick;
  }

  /** Says how things stand, whether or not it is time. */
  report(): void {
    this.#lastTick = this.#host.clock.now();
    this.#tick(this.#count);
  }

  /** A batch begins. */
  batch(): void {
    if (this.#host.clock.now() - this.#lastTick >= TICK_MS) this.report();
  }

  /** Waits for the engine. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#count += 1;
    if (!this.#busy) {
      this.#busy = true;
      this.report();
    }
    try {
      return await work;
    } finally {
      this.#count -= 1;
      // A single stream pauses between any two tokens; only a pause that outlasts the turn of the loop is worth a message.
      if (this.#count === 0) this.#host.scheduler.yieldThen(() => this.#settle());
    }
  }

  #settle(): void {
    if (this.#count > 0 || !this.#busy) return;
    this.#busy = false;
    this.report();
  }
}
