import type { Timer } from '#runtime/kernel/actor.ts';
import type { Cell } from '#runtime/kernel/cell.ts';
import type { Turn } from '#runtime/kernel/runner.ts';
import { WheelTimer } from '#runtime/kernel/timer-wheel.ts';

interface ActorTimerOptions {
  readonly ms: number;
  readonly repeats: boolean;
  /** Called when it will not call back any more. */
  forget(timer: ActorTimer): void;
}

/** A callback in an actor's turn, once or again and again. A repeating one that is still waiting for its turn does not wait twice. */
export class ActorTimer extends WheelTimer implements Timer, Turn {
  readonly activity = 'timer';
  readonly #cell: Cell;
  readonly #callback: () => void | Promise<void>;
  readonly #options: ActorTimerOptions;
  #cancelled = false;
  #posted = false;

  constructor(cell: Cell, callback: () => void | Promise<void>, options: ActorTimerOptions) {
    super();
    if (!Number.isFinite(options.ms) || (options.repeats && options.ms <= 0))
      throw new RangeError(`${cell.path}: a timer of ${options.ms} ms`);
    this.#cell = cell;
    this.#callback = callback;
    this.#options = options;
  }

  arm(): void {
    if (this.#options.ms <= 0) this.expire();
    else this.#cell.kernel.wheel.schedule(this, this.#options.ms);
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#cell.kernel.wheel.cancel(this);
    this.#options.forget(this);
  }

  override expire(): void {
    if (this.#options.repeats) this.#rearm();
    if (this.#posted) return;
    this.#posted = true;
    this.#cell.post(this);
  }

  run(): void | Promise<void> {
    this.#posted = false;
    if (this.#cancelled) return;
    if (!this.#options.repeats) this.#options.forget(this);
    return this.#callback();
  }

  /** On the beat of the first one, without the beats that were missed. */
  #rearm(): void {
    const { ms } = this.#options;
    const late = this.#cell.kernel.host.clock.now() - this.due;
    this.#cell.kernel.wheel.schedule(this, ms - (late % ms));
  }
}
