/** Time as the pages' logic sees it: injected, so that tests own it. All in milliseconds. */
export interface Timing {
  /** Since 1970. */
  now(): number;
  /** Runs once after `ms`; answers the cancel. */
  after(ms: number, run: () => void): () => void;
  /** Runs before the next picture is drawn: many changes become one. */
  nextFrame(run: () => void): void;
}
