/**
 * Counts restarts within a sliding period: OTP's restart intensity (`supervisor.erl`, `add_restart/1`), on the monotonic clock.
 * A restart that is exactly one period old still counts.
 */
export class RestartWindow {
  readonly #intensity: number;
  readonly #periodMs: number;
  #restarts: number[] = [];

  constructor(intensity: number, periodMs: number) {
    this.#intensity = intensity;
    this.#periodMs = periodMs;
  }

  /** Restarts within the period that ended with the last one. */
  get count(): number {
    return this.#restarts.length;
  }

  /** Notes one more restart at `now`; answers whether the supervisor may go on. */
  admits(now: number): boolean {
    this.#restarts = this.#restarts.filter((at) => at >= now - this.#periodMs);
    this.#restarts.push(now);
    return this.#restarts.length <= this.#intensity;
  }
}
