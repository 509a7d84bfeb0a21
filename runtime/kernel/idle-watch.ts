import type { Timer } from '#runtime/kernel/actor.ts';
import type { Cell } from '#runtime/kernel/cell.ts';
import type { Incarnation } from '#runtime/kernel/incarnation.ts';

/**
 * A receive timeout: calls back in the actor's turn when it has handled no message for `ms` milliseconds, once for each such pause.
 *
 * It looks at the count of messages every `ms` milliseconds, which costs a message nothing, and may be late by as much again.
 */
export class IdleWatch implements Timer {
  readonly #timer: Timer;
  #handled: number;
  #told = false;

  constructor(incarnation: Incarnation, cell: Cell, ms: number, callback: () => void | Promise<void>) {
    this.#handled = cell.handled;
    this.#timer = incarnation.every(ms, () => {
      if (cell.handled !== this.#handled || cell.waiting > 0) {
        this.#handled = cell.handled;
        this.#told = false;
        return undefined;
      }
      if (this.#told) return undefined;
      this.#told = true;
      return callback();
    });
  }

  cancel(): void {
    this.#timer.cancel();
  }
}
