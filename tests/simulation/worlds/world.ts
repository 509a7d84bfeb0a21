/** What a schedule came to. */
export interface Outcome {
  /** The same seed gives the same hash: the run can be replayed. */
  readonly hash: string;
  /** Things that happened, for a feeling of how much was tried. */
  readonly steps: number;
  readonly virtualMs: number;
  /** Promises that did not hold. Empty is good. */
  readonly violations: readonly string[];
  /** The last happenings before the end, when asked for. */
  readonly recent: readonly string[];
}

export interface WorldOptions {
  /** How many of the last happenings to remember in words. */
  readonly keep?: number;
}

/** A scene with faults, decided by a seed alone, and the promises that must hold in it. */
export type World = (seed: number, options?: WorldOptions) => Promise<Outcome>;

/** Collects broken promises, each once, and not without end. */
export class Violations {
  readonly #found = new Set<string>();

  add(what: string): void {
    if (this.#found.size < 20) this.#found.add(what);
  }

  get list(): readonly string[] {
    return [...this.#found];
  }

  get any(): boolean {
    return this.#found.size > 0;
  }
}
