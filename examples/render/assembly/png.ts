// Puts the tiles together and writes a PNG. One band of tiles is in memory at a time: it becomes one block of the
// deflate stream and one IDAT chunk. Sources: PNG (ISO/IEC 15948), zlib (RFC 1950).

import { fail } from "../../wasi/assembly/process";
import { flush, readBytes, readFrame, writeByte, writeBytes } from "../../wasi/assembly/streams";
import { beginStream, endStream, packBlock, packed, packedSize } from "./deflate";

const PIXEL = 3;

const crcTable: StaticArray<u32> = new StaticArray<u32>(256);
let crc: u32 = 0;

function buildCrcTable(): void {
  for (let n: u32 = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    unchecked((crcTable[n] = c));
  }
}

function chunkByte(byte: i32): void {
  crc = unchecked(crcTable[(crc ^ byte) & 0xff]) ^ (crc >>> 8);
  writeByte(byte);
}

function chunkBytes(from: usize, length: usize): void {
  let c = crc;
  for (let at = from; at < from + length; at++) c = unchecked(crcTable[(c ^ load<u8>(at)) & 0xff]) ^ (c >>> 8);
  crc = c;
  writeBytes(from, length);
}

function writeNumber(value: u32): void {
  for (let shift: i32 = 24; shift >= 0; shift -= 8) writeByte((value >>> shift) & 0xff);
}

function chunkNumber(value: u32): void {
  for (let shift: i32 = 24; shift >= 0; shift -= 8) chunkByte((value >>> shift) & 0xff);
}

function beginChunk(length: u32, type: string): void {
  writeNumber(length);
  crc = 0xffffffff;
  for (let i = 0; i < 4; i++) chunkByte(type.charCodeAt(i));
}

function endChunk(): void {
  writeNumber(~crc);
}

/** Reads all tiles in shard order from standard input and writes the picture. */
export function writePicture(width: i32, height: i32, tile: i32): void {
  buildCrcTable();
  writeHeader(width, height);
  const row = width * PIXEL;
  const band = heap.alloc(row * tile);
  const filtered = heap.alloc((row + 1) * tile);
  const above = heap.alloc(row);
  memory.fill(above, 0, row);
  beginStream((row + 1) * tile);
  for (let y = 0; y < height; y += tile) {
    const rows = min(tile, height - y);
    readBand(band, width, rows, tile);
    filterBand(band, above, filtered, row, rows);
    memory.copy(above, band + row * (rows - 1), row);
    packBlock(filtered, (row + 1) * rows, y + rows == height);
    if (y + rows == height) endStream();
    beginChunk(packedSize(), "IDAT");
    chunkBytes(packed(), packedSize());
    endChunk();
  }
  if (readFrame() >= 0) fail("there are more tiles than the picture has");
  beginChunk(0, "IEND");
  endChunk();
  flush();
}

function writeHeader(width: i32, height: i32): void {
  writeNumber(0x89504e47);
  writeNumber(0x0d0a1a0a);
  beginChunk(13, "IHDR");
  chunkNumber(width);
  chunkNumber(height);
  chunkByte(8); // bits
  chunkByte(2); // RGB
  chunkByte(0);
  chunkByte(0);
  chunkByte(0);
  endChunk();
}

function readBand(band: usize, width: i32, rows: i32, tile: i32): void {
  for (let x = 0; x < width; x += tile) {
    const columns = min(tile, width - x);
    if (readFrame() != <i64>(columns * rows * PIXEL)) fail("a tile does not have the size that the arguments say");
    for (let y = 0; y < rows; y++) readBytes(band + (y * width + x) * PIXEL, columns * PIXEL);
  }
}

/** Filters each row with the predictor of the five that leaves the smallest sum of differences. */
function filterBand(band: usize, above: usize, filtered: usize, row: i32, rows: i32): void {
  for (let y = 0; y < rows; y++) {
    const now = band + y * row;
    const before = y == 0 ? above : now - row;
    const out = filtered + y * (row + 1);
    let best = 0;
    let least: u64 = u64.MAX_VALUE;
    for (let filter = 0; filter < 5; filter++) {
      const cost = filterRow(filter, now, before, row, 0);
      if (cost < least) {
        least = cost;
        best = filter;
      }
    }
    store<u8>(out, best);
    filterRow(best, now, before, row, out + 1);
  }
}

/** The sum of a row's differences; writes them too when `out` is given. */
function filterRow(filter: i32, now: usize, before: usize, row: i32, out: usize): u64 {
  let sum: u64 = 0;
  for (let i = 0; i < row; i++) {
    const left = i < PIXEL ? 0 : <i32>load<u8>(now + i - PIXEL);
    const up = <i32>load<u8>(before + i);
    const corner = i < PIXEL ? 0 : <i32>load<u8>(before + i - PIXEL);
    const difference = <u8>(load<u8>(now + i) - predict(filter, left, up, corner));
    sum += abs(<i32>(<i8>difference));
    if (out != 0) store<u8>(out + i, difference);
  }
  return sum;
}

// @ts-ignore: decorator
@inline
function predict(filter: i32, left: i32, up: i32, corner: i32): i32 {
  if (filter == 0) return 0;
  if (filter == 1) return left;
  if (filter == 2) return up;
  if (filter == 3) return (left + up) >> 1;
  const guess = left + up - corner;
  const toLeft = abs(guess - left);
  const toUp = abs(guess - up);
  const toCorner = abs(guess - corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}
