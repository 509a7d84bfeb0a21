/**
 * Who is served next when several keys want the same model: the key that had fewest tokens so far (virtual token counters, after
 * "Fairness in Serving Large Language Models", Sheng et al., OSDI 2024). Within a key first come, first served. A key that comes
 * back after a pause starts next to those who wait: having been away earns nothing.
 */
export class FairQueue<T> {
  readonly #waiting = new Map<string, T[]>();
  readonly #served = new Map<string, number>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Waiting items of a key. */
  waiting(key: string): number {
    return this.#waiting.get(key)?.length ?? 0;
  }

  /** Tokens that a key had. */
  served(key: string): number {
    return this.#served.get(key) ?? 0;
  }

  push(key: string, item: T): void {
    const line = this.#waiting.get(key);
    this.#size += 1;
    if (line !== undefined) return void line.push(item);
    if (this.#waiting.size > 0) {
      const level = Math.min(...Array.from(this.#waiting.keys(), (other) => this.served(other)));
      // Just below them, so that its first turn is the next one.
      this.#served.set(key, Math.max(this.served(key), level - 1));
    }
    this.#waiting.set(key, [item]);
  }

  /** Keys that wait, the next to be served first. */
  keys(): string[] {
    return [...this.#waiting.keys()].sort((a, b) => this.served(a) - this.served(b));
  }

  first(key: string): T | undefined {
    return this.#waiting.get(key)?.[0];
  }

  shift(key: string): T | undefined {
    const line = this.#waiting.get(key);
    const item = line?.shift();
    if (item === undefined) return undefined;
    this.#size -= 1;
    if (line?.length === 0) this.#waiting.delete(key);
    return item;
  }

  /** Takes an item out, wherever it waits. */
  remove(wanted: (item: T) => boolean): boolean {
    for (const [key, line] of this.#waiting) {
      const at = line.findIndex(wanted);
      if (at < 0) continue;
      line.splice(at, 1);
      this.#size -= 1;
      if (line.length === 0) this.#waiting.delete(key);
      return true;
    }
    return false;
  }

  charge(key: string, tokens: number): void {
    this.#served.set(key, this.served(key) + tokens);
  }
}
