/**
 * How many replicas of a model there should be, judged from what waits and what runs.
 *
 *   steady ──pressed for GROW_AFTER_MS──▶ grow ──▶ steady (no more until those are there)
 *   steady ──calm for SHRINK_AFTER_MS──▶ shrink by one ──▶ steady (the next one as long after)
 *
 * Pressed: somebody waited too long, or more wait than all replicas can take at once. Calm: nobody waits, and what runs would leave
 * half of the slots free with one replica less. Between the two lies a band in which nothing happens, and a single burst or lull is
 * shorter than either time: so nothing is loaded and unloaded in turns. The first replica and the last one are not judged here: the first is
 * loaded for whoever asks, the last goes when nobody used it for long.
 */

/** As a pool sees itself at one moment. Times in milliseconds. */
export interface PoolLoad {
  readonly now: number;
  readonly waiting: number;
  /** How long the one that waits longest has waited. */
  readonly oldestMs: number;
  readonly ready: number;
  /** On their way: being loaded or fetched. */
  readonly coming: number;
  /** Generations at once of all ready replicas together, and of the one that would go first. */
  readonly slots: number;
  readonly slotsOfOne: number;
  readonly active: number;
}

export type Scaling = { readonly grow: number } | { readonly shrink: true } | null;

export interface AutoscaleTimes {
  /** A wait that is too long. */
  readonly waitMs: number;
  readonly growAfterMs: number;
  readonly shrinkAfterMs: number;
}

/** Loading takes seconds: two are enough to tell a queue from a coincidence. Unloading can wait, it only costs memory that nobody asks for. */
export const TIMES: AutoscaleTimes = { waitMs: 3_000, growAfterMs: 2_000, shrinkAfterMs: 300_000 };

const CALM_SHARE = 0.5;

export class Autoscale {
  readonly #times: AutoscaleTimes;
  #pressedSince: number | null = null;
  #calmSince: number | null = null;

  constructor(times: AutoscaleTimes = TIMES) {
    this.#times = times;
  }

  judge(load: PoolLoad): Scaling {
    const { growAfterMs, shrinkAfterMs } = this.#times;
    const { now, waiting, ready } = load;
    this.#pressedSince = this.#isPressed(load) ? (this.#pressedSince ?? now) : null;
    this.#calmSince = isCalm(load) ? (this.#calmSince ?? now) : null;
    if (this.#pressedSince !== null && now - this.#pressedSince >= growAfterMs) {
      this.#pressedSince = null;
      // As many as the queue would fill, and at most twice what there is: the queue may be gone before all of them are there.
      return { grow: Math.max(1, Math.min(ready, Math.ceil(waiting / load.slotsOfOne))) };
    }
    if (this.#calmSince !== null && now - this.#calmSince >= shrinkAfterMs) {
      this.#calmSince = now;
      return { shrink: true };
    }
    return null;
  }

  #isPressed({ waiting, oldestMs, ready, coming, slots }: PoolLoad): boolean {
    if (waiting === 0 || ready === 0 || coming > 0) return false;
    return oldestMs >= this.#times.waitMs || waiting >= slots;
  }
}

function isCalm({ waiting, ready, coming, slots, slotsOfOne, active }: PoolLoad): boolean {
  return waiting === 0 && coming === 0 && ready > 1 && active <= (slots - slotsOfOne) * CALM_SHARE;
}
