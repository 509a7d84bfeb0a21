import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  cellAt,
  cellOfShard,
  cornerOf,
  layoutGrid,
  MAX_CELLS,
  moveCursor,
  roundUp,
  shardsOfCell,
  type GridRoom,
} from '../../../../ui/src/charts/grid-layout.ts';

const room = (count: number, over: Partial<GridRoom> = {}): GridRoom => ({ first: 0, count, width: 946, height: 380, ratio: 1, ...over });
const anyRoom = fc.record({
  first: fc.integer({ min: 0, max: 1_000_000 }),
  count: fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 1_000_001 })),
  width: fc.integer({ min: 300, max: 4_000 }),
  height: fc.integer({ min: 90, max: 1_200 }),
  ratio: fc.constantFrom(1, 1.25, 1.5, 2, 3),
});

describe('layoutGrid', () => {
  it('draws 640 shards about as in the design: 40 columns that fill the width', () => {
    const layout = layoutGrid(room(640));
    expect(layout).toMatchObject({ perCell: 1, cells: 640, columns: 40, rows: 16 });
    expect(layout.pitch * layout.columns).toBeCloseTo(946);
  });

  it.each([
    [1, 1],
    [100, 1],
    [20_000, 1],
    [20_001, 2],
    [100_000, 5],
    [1_000_000, 50],
  ])('%i shards: %i in a cell', (count, perCell) => {
    expect(layoutGrid(room(count)).perCell).toBe(perCell);
  });

  it('keeps a single shard small', () => {
    const layout = layoutGrid(room(1));
    expect(layout).toMatchObject({ columns: 1, rows: 1 });
    expect(layout.pitch).toBeLessThanOrEqual(30);
  });

  it('always fits, shows every shard once, and finds its cells again', () => {
    fc.assert(
      fc.property(anyRoom, (given) => {
        const layout = layoutGrid(given);
        expect(layout.cells).toBeLessThanOrEqual(MAX_CELLS);
        expect(layout.columns * layout.pitch).toBeLessThanOrEqual(given.width + 1e-6);
        expect(layout.height).toBeLessThanOrEqual(given.height + layout.pitch);
        expect(layout.columns * layout.rows).toBeGreaterThanOrEqual(layout.cells);
        expect(layout.side).toBeLessThan(layout.pitch);
        expect(layout.perCell * layout.cells).toBeGreaterThanOrEqual(given.count);
        expect(shardsOfCell(layout, layout.cells - 1).to).toBe(given.first + given.count);
        for (const cell of [0, Math.floor(layout.cells / 2), layout.cells - 1]) {
          const [x, y] = cornerOf(layout, cell);
          expect(cellAt(layout, x + layout.side / 2, y + layout.side / 2)).toBe(cell);
          expect(cellOfShard(layout, shardsOfCell(layout, cell).from)).toBe(cell);
        }
      }),
    );
  });

  it('knows what lies beside the cells', () => {
    const layout = layoutGrid(room(641));
    expect(cellAt(layout, -1, 5)).toBeNull();
    expect(cellAt(layout, layout.width + 5, 5)).toBeNull();
    expect(cellAt(layout, layout.width - 5, layout.height - 5)).toBeNull();
    expect(cellOfShard(layout, 641)).toBeNull();
    expect(cellOfShard(layoutGrid(room(50, { first: 100 })), 99)).toBeNull();
  });
});

describe('moveCursor', () => {
  const layout = layoutGrid(room(641));
  it.each([
    [0, 'ArrowRight', 1],
    [0, 'ArrowLeft', 0],
    [5, 'ArrowUp', 5],
    [5, 'ArrowDown', 5 + layout.columns],
    [640, 'ArrowDown', 640],
    [640, 'ArrowRight', 640],
    [320, 'Home', 0],
    [320, 'End', 640],
    [3, 'PageUp', 0],
    [3, 'PageDown', 3 + 5 * layout.columns],
    [639, 'PageDown', 640],
  ])('from %i with %s to %i', (from, key, to) => {
    expect(moveCursor(layout, from, key)).toBe(to);
  });
  it('leaves other keys alone', () => {
    expect(moveCursor(layout, 3, 'a')).toBeNull();
  });
});

describe('roundUp', () => {
  it.each([
    [0.2, 1],
    [1, 1],
    [1.01, 2],
    [3, 5],
    [6, 10],
    [50, 50],
    [51, 100],
  ])('%d to %i', (value, rounded) => {
    expect(roundUp(value)).toBe(rounded);
  });
});
