import type { Termination } from '#runtime/kernel/actor.ts';
import type { Cell } from '#runtime/kernel/cell.ts';

/** Waits for the end of another actor. Tells it once, or never after it was ended itself. */
export class Watch {
  readonly #target: Cell;
  readonly #onTerminated: (termination: Termination) => void;

  constructor(target: Cell, onTerminated: (termination: Termination) => void) {
    this.#target = target;
    this.#onTerminated = onTerminated;
  }

  /** Tells it at once when the actor has ended already. */
  begin(): void {
    const { termination } = this.#target;
    if (termination === null) this.#target.watch(this);
    else this.#onTerminated(termination);
  }

  end(): void {
    this.#target.unwatch(this);
  }

  terminated(termination: Termination): void {
    this.#onTerminated(termination);
  }
}
