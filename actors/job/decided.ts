import type { Decided, ShardRow } from '#actors/store/store.ts';

/** Digits of a belief that are kept: what is written down must not change on its way through a database. */
const DIGITS = 1e9;

/** What is written down of how results were decided; undefined when all of them are plain counts of votes. */
export function decidedOf(standing: ReadonlyMap<number, Decided>): ReadonlyMap<number, Decided> | undefined {
  const entries = [...standing];
  if (entries.every(([, { by }]) => by === 'quorum')) return undefined;
  // Downwards: a receipt must not claim more than was believed.
  return new Map(
    entries.map(([index, { by, belief }]) => [index, { by, belief: belief === null ? null : Math.floor(belief * DIGITS) / DIGITS }]),
  );
}

export function withDecided(row: ShardRow, decided: Decided | undefined): ShardRow {
  return decided === undefined ? row : { ...row, decided };
}
