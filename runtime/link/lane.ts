/**
 * A link carries two streams of messages. Each keeps its own order, numbering and credit; between the two there is no order.
 *
 * - `control`: what is small and must not wait. It goes before everything that lies in the other lane, and has a reserve of its own.
 * - `data`: the rest, bodies of up to 8 MiB among it.
 */
export type Lane = 'control' | 'data';

/** In the order of the wire's lane numbers, which is also the order of precedence. */
export const LANES: readonly Lane[] = ['control', 'data'];

/** How far the messages of one lane have come at their receiver. What a resume starts from. */
export interface LanePosition {
  /** Number of the last message that arrived whole. */
  readonly seen: number;
  /** Number of the last message that its owner is done with, and with it everything before. At most `seen`. */
  readonly consumed: number;
  /** Bytes that have arrived of message `seen + 1`: not 0 when the wire broke in the middle of a large one. */
  readonly partial: number;
}

/** What the receiver of a lane takes beyond what it has consumed. */
export interface LaneWindow {
  readonly bytes: number;
  readonly messages: number;
}

export type PerLane<T> = { readonly [L in Lane]: T };

export const START: LanePosition = { seen: 0, consumed: 0, partial: 0 };
/** Where a new session starts. */
export const BEGINNING: PerLane<LanePosition> = { control: START, data: START };
