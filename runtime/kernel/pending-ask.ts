import type { Cell } from '#runtime/kernel/cell.ts';
import { AskTimeout } from '#runtime/kernel/errors.ts';
import { WheelTimer } from '#runtime/kernel/timer-wheel.ts';

interface Question {
  readonly cell: Cell;
  readonly kind: number;
  readonly payload: unknown;
  readonly timeoutMs: number;
}

/** What the handler of an ask answers when its answer comes later. */
export const LATER = Symbol('answered later');

/** An ask that waits for its answer. It is its own deadline; whatever comes first ends it, the rest is ignored. */
export class PendingAsk extends WheelTimer {
  /** What was asked; it travels with the ask through the mailbox. */
  readonly payload: unknown;
  /** How long the asker waits in all. */
  readonly timeoutMs: number;
  readonly #cell: Cell;
  readonly #kind: number;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;

  constructor(asked: Question, resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    super();
    this.payload = asked.payload;
    this.#cell = asked.cell;
    this.#kind = asked.kind;
    this.timeoutMs = asked.timeoutMs;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  resolve(value: unknown): void {
    if (value === LATER) return;
    this.#cell.kernel.wheel.cancel(this);
    this.#resolve(value);
  }

  reject(error: unknown): void {
    this.#cell.kernel.wheel.cancel(this);
    this.#reject(error);
  }

  override expire(): void {
    this.#reject(new AskTimeout(this.#cell.path, this.#cell.nameOf(this.#kind), this.timeoutMs));
  }
}
