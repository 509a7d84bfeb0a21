/** Which rows of a long table are in the DOM, and the empty room above and below them. Lengths in CSS pixels. */
export interface RowWindow {
  readonly from: number;
  readonly to: number;
  readonly above: number;
  readonly below: number;
}

export interface RowRoom {
  readonly count: number;
  readonly rowHeight: number;
  /** How far the first row has scrolled above the upper edge of what is seen; negative when it is below. */
  readonly scrolled: number;
  readonly seen: number;
}

/** Rows drawn beyond each edge, so that a quick scroll shows no gap. */
const SPARE = 12;

export function windowRows({ count, rowHeight, scrolled, seen }: RowRoom): RowWindow {
  const from = Math.max(0, Math.min(count, Math.floor(scrolled / rowHeight) - SPARE));
  const to = Math.max(from, Math.min(count, Math.ceil((scrolled + seen) / rowHeight) + SPARE));
  return { from, to, above: from * rowHeight, below: (count - to) * rowHeight };
}
