import type { ToAgent } from '#actors/contract/agent-link.ts';

/** The feature of an agent that empties itself within a grace and says when nothing is left. */
const DRAIN = 'drain';

/** What a drained machine has done with its work, in seconds, when nobody says otherwise. */
export const GRACE_SECONDS = 120;

/** Where one session stands with its drain. */
export class Draining {
  readonly #answers: boolean;
  #on: boolean;
  #answered = false;

  constructor(features: ReadonlySet<string>, on: boolean) {
    this.#answers = features.has(DRAIN);
    this.#on = on;
  }

  get on(): boolean {
    return this.#on;
  }

  /** The agent's word. */
  answered(): void {
    this.#answered = this.#on;
  }

  /** The order for the agent; one of an older version only writes it down, and gets nothing new from here. */
  turn(on: boolean, graceSeconds: number): ToAgent {
    this.#on = on;
    this.#answered = false;
    return { type: 'drain', on, ...(on && this.#answers ? { graceSeconds } : {}) };
  }

  /** Nothing is left there, also of what only the grid counts. */
  isDrained(left: number): boolean {
    return this.#on && left === 0 && (this.#answered || !this.#answers);
  }
}
