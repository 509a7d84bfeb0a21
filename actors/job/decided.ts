import type { Decided, ShardRow } from '#actors/store/store.ts';

/** Digits of a belief that are kept: what is written down must not change on its way through a database. */
const DIGITS = 1e9;

/** What is written down of how a result was decided. Downwards: a receipt must not claim more than was believed. */
export function notedOf({ by, belief }: Decided): Decided {
  return { by, belief: belief === null ? null : Math.floor(belief * DIGITS) / DIGITS };
}

export function withDecided({ decided: _before, ...row }: ShardRow, decided: Decided | null): ShardRow {
  return decided === null ? row : { ...row, decided };
}
