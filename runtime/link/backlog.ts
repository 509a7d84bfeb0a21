import type { Admission } from '#runtime/kernel/ref.ts';

import type { Lane } from './lane.ts';

interface Waiting<Out> {
  readonly message: Out;
  readonly taken: (() => void) | undefined;
}

export interface BacklogOptions<Out> {
  /** The link's. */
  readonly send: (message: Out) => Admission;
  readonly lane: (message: Out) => Lane;
  /** Messages that may wait, over both lanes. */
  readonly most: number;
}

/**
 * Messages that found the link's window full and wait for room, in the order of their lane. A burst larger than the window is thereby no
 * reason to end a session; a peer that stays silent is one, and `moved` tells the owner which of the two it is.
 */
export class Backlog<Out> {
  readonly #options: BacklogOptions<Out>;
  readonly #lanes = { control: [] as Waiting<Out>[], data: [] as Waiting<Out>[] };
  #size = 0;
  #moved = 0;

  constructor(options: BacklogOptions<Out>) {
    this.#options = options;
  }

  /** Messages that wait. */
  get size(): number {
    return this.#size;
  }

  /** Messages that waited and have gone. */
  get moved(): number {
    return this.#moved;
  }

  /**
   * 'accepted': the link has it, or will when there is room. 'full': too many wait, nothing was taken. 'closed': the link is.
   *
   * @param taken called once, when the link has it; the sender may then make more
   */
  send(message: Out, taken?: () => void): Admission {
    const line = this.#lanes[this.#options.lane(message)];
    if (line.length === 0) {
      const admission = this.#options.send(message);
      if (admission === 'accepted') taken?.();
      if (admission !== 'full') return admission;
    }
    if (this.#size >= this.#options.most) return 'full';
    line.push({ message, taken });
    this.#size += 1;
    return 'accepted';
  }

  /** There is room in the link's window. */
  room(): void {
    for (const line of [this.#lanes.control, this.#lanes.data]) {
      let gone = 0;
      for (const { message } of line) {
        if (this.#options.send(message) !== 'accepted') break;
        gone += 1;
      }
      this.#size -= gone;
      this.#moved += gone;
      for (const { taken } of line.splice(0, gone)) taken?.();
    }
  }

  /** Takes back what has not gone. True when there was such a message. */
  remove(wanted: (message: Out) => boolean): boolean {
    for (const line of [this.#lanes.control, this.#lanes.data]) {
      const at = line.findIndex(({ message }) => wanted(message));
      if (at < 0) continue;
      line.splice(at, 1);
      this.#size -= 1;
      return true;
    }
    return false;
  }

  /** Nobody waits for them any more. */
  clear(): void {
    this.#lanes.control = [];
    this.#lanes.data = [];
    this.#size = 0;
  }
}
