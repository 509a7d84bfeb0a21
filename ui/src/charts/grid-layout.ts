/**
 * Where the cells of a grid stand. All lengths are device pixels, so that edges are sharp.
 *
 * Cells shrink until all of them fit; when a cell for each shard would be too small to see (or there are more than
 * MAX_CELLS), one cell stands for `perCell` neighbouring shards, a round number. Large cells share the whole width, and
 * their gaps differ by a pixel at most; small ones keep a whole pitch, since a varying gap would show as stripes.
 */
export interface GridLayout {
  /** Shards in the grid, and the index of the first one. */
  readonly count: number;
  readonly first: number;
  /** Shards that one cell stands for. */
  readonly perCell: number;
  readonly cells: number;
  readonly columns: number;
  readonly rows: number;
  /** From one cell to the next; not always whole. */
  readonly pitch: number;
  /** Edge of a cell, without its gap. */
  readonly side: number;
  readonly width: number;
  readonly height: number;
}

export interface GridRoom {
  readonly first: number;
  readonly count: number;
  readonly width: number;
  /** Height that the grid should not exceed. */
  readonly height: number;
  /** Device pixels for one CSS pixel. */
  readonly ratio: number;
}

/** More cells than this are slower to draw and no easier to read. */
export const MAX_CELLS = 20_000;
const MIN_PITCH = 4;
const MAX_PITCH = 30;
/** Below this many device pixels a pitch is whole. */
const WHOLE_BELOW = 12;
const GAP_SHARE = 0.11;
const ROUND_STEPS = [1, 2, 5];

/** The smallest of 1, 2, 5, 10, 20, 50, … that is not below `value`. */
export function roundUp(value: number): number {
  for (let power = 1; ; power *= 10) {
    for (const step of ROUND_STEPS) if (step * power >= value) return step * power;
  }
}

export function layoutGrid({ first, count, width, height, ratio }: GridRoom): GridLayout {
  const smallest = Math.max(1, Math.floor(MIN_PITCH * ratio));
  const largest = Math.floor(MAX_PITCH * ratio);
  const roomFor = Math.max(1, Math.floor(width / smallest) * Math.floor(height / smallest));
  const perCell = roundUp(count / Math.min(MAX_CELLS, roomFor));
  const cells = Math.ceil(count / perCell);
  const ideal = Math.max(smallest, Math.min(largest, Math.sqrt((width * height) / Math.max(1, cells))));
  let columns = Math.max(1, Math.round(width / ideal));
  // Rounding may have cost a row too many: one more column at a time, while the cells stay visible.
  while (Math.ceil(cells / columns) * pitchFor(columns, width) > height && width / (columns + 1) >= smallest) columns += 1;
  let pitch = Math.min(largest, pitchFor(columns, width));
  if (Number.isInteger(pitch)) columns = Math.max(1, Math.floor(width / pitch));
  columns = Math.max(1, Math.min(columns, cells));
  pitch = Math.max(1, pitch);
  const rows = Math.ceil(cells / columns);
  const gap = Math.max(1, Math.round(pitch * GAP_SHARE));
  return {
    count,
    first,
    perCell,
    cells,
    columns,
    rows,
    pitch,
    side: Math.max(1, Math.floor(pitch) - gap),
    width,
    height: Math.ceil(rows * pitch),
  };
}

function pitchFor(columns: number, width: number): number {
  const share = width / columns;
  return share < WHOLE_BELOW ? Math.floor(share) : share;
}

/** Upper left corner of a cell. */
export function cornerOf(layout: GridLayout, cell: number): readonly [x: number, y: number] {
  return [Math.round((cell % layout.columns) * layout.pitch), Math.round(Math.floor(cell / layout.columns) * layout.pitch)];
}

/** Cell under a point (device pixels from the grid's corner); null beside the cells. A gap belongs to the cell before it. */
export function cellAt(layout: GridLayout, x: number, y: number): number | null {
  const column = Math.floor(x / layout.pitch);
  const row = Math.floor(y / layout.pitch);
  if (x < 0 || y < 0 || column >= layout.columns) return null;
  const cell = row * layout.columns + column;
  return cell < layout.cells ? cell : null;
}

/** Cell that holds a shard; null when the shard is not in this grid. */
export function cellOfShard(layout: GridLayout, shard: number): number | null {
  const offset = shard - layout.first;
  return offset >= 0 && offset < layout.count ? Math.floor(offset / layout.perCell) : null;
}

/** First shard of a cell and the one after its last. */
export function shardsOfCell(layout: GridLayout, cell: number): { from: number; to: number } {
  const from = layout.first + cell * layout.perCell;
  return { from, to: Math.min(from + layout.perCell, layout.first + layout.count) };
}

/** Where an arrow, Home, End or Page key moves the cursor; null for a key that moves nothing. */
export function moveCursor(layout: GridLayout, cell: number, key: string): number | null {
  const page = layout.columns * 5;
  const steps: Record<string, number> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -layout.columns,
    ArrowDown: layout.columns,
    PageUp: -page,
    PageDown: page,
    Home: -cell,
    End: layout.cells - 1 - cell,
  };
  const step = steps[key];
  if (step === undefined) return null;
  const next = cell + step;
  if (next >= 0 && next < layout.cells) return next;
  // A vertical step out of the grid stays where it is; the others stop at the ends.
  return key === 'ArrowUp' || key === 'ArrowDown' ? cell : Math.max(0, Math.min(layout.cells - 1, next));
}
