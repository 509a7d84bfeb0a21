/** How many tokens a consumer still wants. A generation takes one for each token and waits when there is none. */
export class Credit {
  #left: number;
  #wake: (() => void) | undefined;
  #open = true;

  constructor(initial: number) {
    this.#left = initial;
  }

  grant(tokens: number): void {
    this.#left += tokens;
    this.#wake?.();
  }

  /** Ends every wait: nobody needs tokens any more. */
  close(): void {
    this.#open = false;
    this.#wake?.();
  }

  /** True when `take` would wait. */
  get exhausted(): boolean {
    return this.#open && this.#left <= 0;
  }

  /** Takes one, waiting for it when need be; at once after `close`. One taker at a time. */
  async take(): Promise<void> {
    while (this.exhausted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    this.#left -= 1;
  }
}
