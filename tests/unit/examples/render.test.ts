import { createHash } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { readPng } from '#tests/support/png-reader.ts';
import { exampleModule, framed, runModule } from '#tests/support/run-module.ts';

const MODULE = exampleModule('render');

interface Size {
  width: number;
  height: number;
  tile: number;
}

const sizeArguments = ({ width, height, tile }: Size): string[] => ['--width', `${width}`, '--height', `${height}`, '--tile', `${tile}`];

function tile(size: Size, shard: number, samples = 4): Buffer {
  const run = runModule(MODULE, [...sizeArguments(size), '--samples', `${samples}`, '--shard', `${shard}`], undefined, 64);
  if (run.code !== 0) throw new Error(run.log);
  return run.output;
}

function merge(size: Size, tiles: readonly Uint8Array[]): Buffer {
  const run = runModule(MODULE, ['merge', ...sizeArguments(size)], framed(tiles), 64);
  if (run.code !== 0) throw new Error(run.log);
  return run.output;
}

/** Cuts a picture into tiles as the shards would paint them. */
function cut({ width, height, tile }: Size, pixels: Buffer): Buffer[] {
  const tiles: Buffer[] = [];
  for (let y = 0; y < height; y += tile) {
    for (let x = 0; x < width; x += tile) {
      const rows: Buffer[] = [];
      for (let row = y; row < Math.min(y + tile, height); row++) {
        rows.push(pixels.subarray((row * width + x) * 3, (row * width + Math.min(x + tile, width)) * 3));
      }
      tiles.push(Buffer.concat(rows));
    }
  }
  return tiles;
}

function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, state = 1; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

describe('a tile', () => {
  const size = { width: 80, height: 60, tile: 16 };

  it('has the same bits on every machine', () => {
    const bytes = tile(size, 7);
    expect(bytes.equals(tile(size, 7))).toBe(true);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe('b17c1422e226f7f501dc67d856faad20cab9ab8dc0827597ba991098fcd4b61b');
  });

  it('is the same piece of the picture however the picture is cut', () => {
    const whole = tile({ ...size, tile: 80 }, 0, 2);
    expect(cut(size, whole).map((part, shard) => part.equals(tile(size, shard, 2)))).toEqual(Array.from({ length: 20 }, () => true));
  });

  it('may be smaller at the right and bottom edges', () => {
    const small = { width: 20, height: 10, tile: 16 };
    expect([0, 1].map((shard) => tile(small, shard, 1).length)).toEqual([16 * 10 * 3, 4 * 10 * 3]);
  });

  it('loses noise with more samples', () => {
    const reference = tile(size, 12, 256);
    const error = (samples: number): number => tile(size, 12, samples).reduce((sum, byte, i) => sum + (byte - (reference[i] ?? 0)) ** 2, 0);
    expect(error(64)).toBeLessThan(error(4) / 2);
  });
});

describe('the picture', () => {
  it('is put together from its tiles', () => {
    const size = { width: 40, height: 24, tile: 16 };
    const tiles = Array.from({ length: 6 }, (_, shard) => tile(size, shard));
    const picture = readPng(merge(size, tiles));
    expect(picture).toMatchObject({ width: 40, height: 24 });
    expect(cut(size, picture.pixels).map((part, shard) => part.equals(tiles[shard] ?? Buffer.alloc(0)))).toEqual(tiles.map(() => true));
  });

  it.each<[string, Size, (length: number) => Buffer]>([
    ['noise', { width: 100, height: 70, tile: 32 }, noise],
    ['one colour', { width: 300, height: 200, tile: 64 }, (length) => Buffer.alloc(length, 0x55)],
    ['a gradient', { width: 256, height: 64, tile: 64 }, (length) => Buffer.from(Uint8Array.from({ length }, (_, i) => (i / 3) | 0))],
    ['rare symbols, whose codes would be too long', { width: 512, height: 512, tile: 512 }, (length) => rareSymbols(length)],
    ['one pixel', { width: 1, height: 1, tile: 1 }, () => Buffer.from([1, 2, 3])],
    ['one row', { width: 9, height: 1, tile: 4 }, noise],
  ])('comes out of the PNG as it went in: %s', (_name, size, make) => {
    const pixels = make(size.width * size.height * 3);
    const png = merge(size, cut(size, pixels));
    expect(readPng(png)).toEqual({ width: size.width, height: size.height, pixels });
  });

  it('is small where there is little to tell', () => {
    const size = { width: 300, height: 200, tile: 64 };
    expect(merge(size, cut(size, Buffer.alloc(300 * 200 * 3, 0x55))).length).toBeLessThan(4000);
  });

  it('is refused when tiles are missing, too many or of another size', () => {
    const size = { width: 32, height: 16, tile: 16 };
    const good = Buffer.alloc(16 * 16 * 3);
    expect(() => merge(size, [good])).toThrow('a tile does not have the size that the arguments say');
    expect(() => merge(size, [good, good.subarray(3)])).toThrow('a tile does not have the size that the arguments say');
    expect(() => merge(size, [good, good, good])).toThrow('there are more tiles than the picture has');
    const run = runModule(MODULE, ['merge', ...sizeArguments(size)], framed([good, good]).subarray(0, 1000));
    expect(run).toMatchObject({ code: 1, log: 'standard input ends too early\n' });
  });
});

/** Byte frequencies like Fibonacci numbers make the deepest Huffman trees. */
function rareSymbols(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let at = 0;
  for (let symbol = 0, a = 1, b = 1; at < length; symbol++, [a, b] = [b, a + b]) {
    // Neighbours differ, so that neither runs nor predictors swallow them.
    for (let i = 0; i < a && at < length; i++, at++) bytes[at] = symbol % 2 === 0 ? symbol * 7 : 255 - symbol * 5;
  }
  return shuffled(bytes);
}

function shuffled(bytes: Buffer): Buffer {
  let state = 9;
  for (let i = bytes.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const other = Math.floor((state / 2 ** 32) * (i + 1));
    [bytes[i], bytes[other]] = [bytes[other] ?? 0, bytes[i] ?? 0];
  }
  return bytes;
}

it.each([
  [['--width', '10', '--height', '10'], '--tile must be a whole number from 1 to 4096'],
  [['--width', '0', '--height', '10', '--tile', '8'], '--width must be a whole number from 1 to 16384'],
  [['--width', '1e3', '--height', '10', '--tile', '8'], '--width must be a whole number from 1 to 16384'],
  [['--width', '16', '--height', '16', '--tile', '8', '--samples', '1', '--shard', '4'], '--shard must be a whole number from 0 to 3'],
])('says what is wrong with %j', (args, message) => {
  expect(runModule(MODULE, args)).toMatchObject({ code: 1, log: `${message}\n` });
});
