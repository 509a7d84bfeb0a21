import { SHARD_STATES } from '#actors/contract/job-states.ts';

import { CELL_KINDS, kindOfState, stateOfByte, type CellKind } from './cell-kinds.ts';
import { cornerOf, shardsOfCell, type GridLayout } from './grid-layout.ts';
import type { Palette } from './palette.ts';

/** What the painter needs of a canvas; a 2D context has it. */
export interface Pen {
  fillStyle: unknown;
  strokeStyle: unknown;
  lineWidth: number;
  clearRect(x: number, y: number, width: number, height: number): void;
  beginPath(): void;
  rect(x: number, y: number, width: number, height: number): void;
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
  closePath(): void;
  fill(): void;
  stroke(): void;
  strokeRect(x: number, y: number, width: number, height: number): void;
}

export interface GridPicture {
  readonly layout: GridLayout;
  /** One byte per shard of the whole job. */
  readonly states: Uint8Array;
  readonly verified: boolean;
  readonly palette: Palette;
  readonly ratio: number;
  /** Cell that is selected, and cell under the keyboard's cursor. */
  readonly selected: number | null;
  readonly cursor: number | null;
}

type Place = (cell: number) => readonly [x: number, y: number];

/** Draws the grid. One path per colour, so 20,000 cells cost about a dozen fills. */
export function paintGrid(pen: Pen, picture: GridPicture): void {
  const { layout } = picture;
  pen.clearRect(0, 0, layout.width, layout.height);
  const place: Place = (cell) => cornerOf(layout, cell);
  if (layout.perCell === 1) paintShards(pen, picture, place);
  else paintHeaps(pen, picture, place);
  paintMarks(pen, picture, place);
}

/** One cell, one shard: grouped by kind, each kind with its own pattern. */
function paintShards(pen: Pen, { layout, states, verified, palette, ratio }: GridPicture, place: Place): void {
  const groups = new Map<CellKind, number[]>(CELL_KINDS.map((kind) => [kind, []]));
  const kinds = SHARD_STATES.map((state) => kindOfState(state, verified));
  for (let cell = 0; cell < layout.cells; cell++) {
    const kind = kinds[states[layout.first + cell] ?? 0] ?? 'waiting';
    groups.get(kind)?.push(cell);
  }
  for (const [kind, cells] of groups) {
    if (cells.length > 0) paintKind(pen, kind, cells.map(place), layout.side, palette, ratio);
  }
}

function fillRects(pen: Pen, colour: string, rects: Iterable<readonly [x: number, y: number, width: number, height: number]>): void {
  pen.fillStyle = colour;
  pen.beginPath();
  for (const [x, y, width, height] of rects) pen.rect(x, y, width, height);
  pen.fill();
}

/** Draws cells of one kind at these corners. */
export function paintKind(
  pen: Pen,
  kind: CellKind,
  at: readonly (readonly [number, number])[],
  side: number,
  palette: Palette,
  ratio: number,
): void {
  const squares = (colour: string): void =>
    fillRects(
      pen,
      colour,
      at.map(([x, y]) => [x, y, side, side] as const),
    );
  const thin = Math.max(1, Math.round(ratio));
  const frames = (colour: string, line: number): void => {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    for (const [x, y] of at) pen.strokeRect(x + line / 2, y + line / 2, side - line, side - line);
  };
  switch (kind) {
    case 'agreed':
      return squares(palette.verdigris);
    case 'accepted':
      return squares(palette.neutral);
    case 'waiting':
      return squares(palette.line);
    case 'blocked':
      return frames(palette.lineStrong, thin);
    case 'voting':
      return side < 3 ? squares(palette.wash) : frames(palette.verdigris, Math.max(thin, Math.round(side * 0.09)));
    case 'running': {
      const risen = Math.max(1, Math.round(side / 2));
      squares(palette.line);
      return fillRects(
        pen,
        palette.copper,
        at.map(([x, y]) => [x, y + side - risen, side, risen] as const),
      );
    }
    case 'dissent':
      squares(palette.verdigris);
      return triangles(pen, palette.signal, at, side);
    case 'failed':
      squares(palette.signal);
      return side < 5 * ratio ? undefined : crosses(pen, palette.bg, at, side);
    case 'retrying':
      squares(palette.line);
      return hatches(pen, palette.amber, at, side, ratio);
  }
}

function triangles(pen: Pen, colour: string, at: readonly (readonly [number, number])[], side: number): void {
  pen.fillStyle = colour;
  pen.beginPath();
  for (const [x, y] of at) {
    pen.moveTo(x + side, y);
    pen.lineTo(x + side, y + side);
    pen.lineTo(x, y + side);
    pen.closePath();
  }
  pen.fill();
}

function crosses(pen: Pen, colour: string, at: readonly (readonly [number, number])[], side: number): void {
  pen.strokeStyle = colour;
  pen.lineWidth = Math.max(1, side * 0.12);
  pen.beginPath();
  for (const [x, y] of at) {
    pen.moveTo(x + side * 0.2, y + side * 0.2);
    pen.lineTo(x + side * 0.8, y + side * 0.8);
    pen.moveTo(x + side * 0.8, y + side * 0.2);
    pen.lineTo(x + side * 0.2, y + side * 0.8);
  }
  pen.stroke();
}

function hatches(pen: Pen, colour: string, at: readonly (readonly [number, number])[], side: number, ratio: number): void {
  pen.strokeStyle = colour;
  pen.lineWidth = Math.max(1, 1.5 * ratio);
  pen.beginPath();
  const step = Math.max(3 * ratio, side / 3);
  for (const [x, y] of at) {
    for (let reach = step / 2; reach < 2 * side; reach += step) {
      pen.moveTo(x + Math.max(0, reach - side), y + Math.min(side, reach));
      pen.lineTo(x + Math.min(side, reach), y + Math.max(0, reach - side));
    }
  }
  pen.stroke();
}

/** One cell, many shards: settled from the bottom, running above it; signal red all over when one failed, since one of fifty must be seen. */
function paintHeaps(pen: Pen, { layout, states, verified, palette }: GridPicture, place: Place): void {
  const base: (readonly [number, number, number, number])[] = [];
  const settled: typeof base = [];
  const working: typeof base = [];
  const failed: typeof base = [];
  for (let cell = 0; cell < layout.cells; cell++) {
    const { from, to } = shardsOfCell(layout, cell);
    const tally = tallyShards(states, from, to);
    const [x, y] = place(cell);
    const { side } = layout;
    const share = (shards: number): number => Math.round((shards / (to - from)) * side);
    const done = share(tally.settled);
    const doneAndWorking = share(tally.settled + tally.working);
    base.push([x, y, side, side]);
    if (done > 0) settled.push([x, y + side - done, side, done]);
    if (doneAndWorking > done) working.push([x, y + side - doneAndWorking, side, doneAndWorking - done]);
    if (tally.failed > 0) failed.push([x, y, side, side]);
  }
  fillRects(pen, palette.line, base);
  fillRects(pen, verified ? palette.verdigris : palette.neutral, settled);
  fillRects(pen, palette.copper, working);
  fillRects(pen, palette.signal, failed);
}

/** Counts a run of shards by what a heap shows of them. */
export function tallyShards(
  states: Uint8Array,
  from: number,
  to: number,
): { settled: number; working: number; failed: number; waiting: number } {
  const tally = { settled: 0, working: 0, failed: 0, waiting: 0 };
  for (let shard = from; shard < to; shard++) {
    const state = stateOfByte(states[shard]);
    if (state === 'provisional' || state === 'sealed') tally.settled += 1;
    else if (state === 'leased' || state === 'voting') tally.working += 1;
    else if (state === 'failed') tally.failed += 1;
    else tally.waiting += 1;
  }
  return tally;
}

/** The selected cell in a frame of ink, the cursor's in a thinner one with a gap. */
function paintMarks(pen: Pen, { layout, palette, ratio, selected, cursor }: GridPicture, place: Place): void {
  const frame = (cell: number, line: number, away: number): void => {
    const [x, y] = place(cell);
    pen.strokeStyle = palette.bg;
    pen.lineWidth = line + 2 * ratio;
    pen.strokeRect(x - away, y - away, layout.side + 2 * away, layout.side + 2 * away);
    pen.strokeStyle = palette.ink;
    pen.lineWidth = line;
    pen.strokeRect(x - away, y - away, layout.side + 2 * away, layout.side + 2 * away);
  };
  if (selected !== null) frame(selected, 2 * ratio, 0);
  if (cursor !== null && cursor !== selected) frame(cursor, ratio, ratio);
}
