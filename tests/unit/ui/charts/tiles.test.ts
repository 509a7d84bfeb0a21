import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { canvasScale, rgbToRgba, tileColumns, tileOf } from '../../../../ui/src/charts/tile-layout.ts';
import { createTileQueue } from '../../../../ui/src/charts/tile-queue.ts';

describe('tileOf', () => {
  const view = { kind: 'tiles', width: 250, height: 130, tile: 64 } as const;

  it('places tiles row by row, smaller at the edges', () => {
    expect(tileColumns(view)).toBe(4);
    expect(tileOf(view, 0)).toEqual({ x: 0, y: 0, width: 64, height: 64 });
    expect(tileOf(view, 3)).toEqual({ x: 192, y: 0, width: 58, height: 64 });
    expect(tileOf(view, 11)).toEqual({ x: 192, y: 128, width: 58, height: 2 });
    expect(tileOf(view, 12)).toBeNull();
    expect(tileOf(view, -1)).toBeNull();
  });

  it('covers every pixel once', () => {
    const size = fc.integer({ min: 1, max: 3_000 });
    fc.assert(
      fc.property(size, size, fc.integer({ min: 50, max: 4_096 }), (width, height, tile) => {
        const any = { kind: 'tiles', width, height, tile } as const;
        let pixels = 0;
        for (let shard = 0; ; shard++) {
          const place = tileOf(any, shard);
          if (!place) break;
          pixels += place.width * place.height;
        }
        expect(pixels).toBe(width * height);
      }),
    );
  });

  it('shrinks only pictures that a canvas would not hold', () => {
    expect(canvasScale(view)).toBe(1);
    expect(canvasScale({ ...view, width: 16_384 })).toBe(0.25);
  });
});

describe('rgbToRgba', () => {
  it('adds the alpha and refuses bytes that are not the tile', () => {
    const tile = { x: 0, y: 0, width: 2, height: 1 };
    expect(rgbToRgba(Uint8Array.of(1, 2, 3, 4, 5, 6), tile)).toEqual(Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 255));
    expect(rgbToRgba(Uint8Array.of(1, 2, 3), tile)).toBeNull();
  });
});

describe('createTileQueue', () => {
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  function setUp(atOnce: number) {
    const open = new Map<number, { give: (bytes: Uint8Array) => void; fail: (error: Error) => void; signal: AbortSignal }>();
    const arrived: number[] = [];
    const failed: number[] = [];
    const queue = createTileQueue({
      atOnce,
      fetch: (shard, signal) => new Promise((give, fail) => open.set(shard, { give, fail, signal })),
      arrived: (shard) => arrived.push(shard),
      failed: (shard) => failed.push(shard),
    });
    const end = async (shard: number, error?: Error): Promise<void> => {
      const request = open.get(shard);
      open.delete(shard);
      if (error) request?.fail(error);
      else request?.give(new Uint8Array());
      await settle();
    };
    return { queue, open, arrived, failed, end };
  }

  it('fetches each tile once, few at a time, in their order', async () => {
    const { queue, open, arrived, end } = setUp(2);
    queue.want([4, 5, 6]);
    queue.want([4, 5, 6, 7]);
    expect([...open.keys()]).toEqual([4, 5]);
    await end(5);
    expect([...open.keys()]).toEqual([4, 6]);
    for (const shard of [4, 6, 7]) await end(shard);
    queue.want([4, 5, 6, 7]);
    expect(open.size).toBe(0);
    expect(arrived).toEqual([5, 4, 6, 7]);
  });

  it('tries a tile three times, each time when it is wanted again', async () => {
    const { queue, open, failed, end } = setUp(2);
    for (let time = 0; time < 5; time++) {
      queue.want([1]);
      await end(1, new Error('no'));
    }
    expect(failed).toEqual([1, 1, 1]);
    expect(open.size).toBe(0);
  });

  it('stops when it is closed', async () => {
    const { queue, open, arrived, failed, end } = setUp(1);
    queue.want([1, 2]);
    const signal = open.get(1)?.signal;
    queue.close();
    expect(signal?.aborted).toBe(true);
    await end(1);
    expect({ arrived, failed, open: open.size }).toEqual({ arrived: [], failed: [], open: 0 });
  });
});
