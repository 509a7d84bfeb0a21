import type { View } from '#actors/contract/job-spec.ts';

import { readPng } from '#tests/support/png-reader.ts';

/**
 * Puts the tiles together without the job's own merge step and compares with the merged picture pixel by pixel.
 * Answers what is wrong, or null.
 */
export function differenceFromTiles(png: Buffer, view: View, tiles: readonly Uint8Array[]): string | null {
  const picture = readPng(png);
  const { width, height, tile } = view;
  if (picture.width !== width || picture.height !== height) return `the picture has ${picture.width} × ${picture.height} pixels`;
  const columns = Math.ceil(width / tile);
  for (const [index, pixels] of tiles.entries()) {
    const left = (index % columns) * tile;
    const top = Math.floor(index / columns) * tile;
    const tileWidth = Math.min(tile, width - left);
    const tileHeight = Math.min(tile, height - top);
    if (pixels.length !== tileWidth * tileHeight * 3) return `tile ${index} has ${pixels.length} bytes`;
    for (let y = 0; y < tileHeight; y++) {
      const from = ((top + y) * width + left) * 3;
      const row = picture.pixels.subarray(from, from + tileWidth * 3);
      if (Buffer.compare(row, pixels.subarray(y * tileWidth * 3, (y + 1) * tileWidth * 3)) !== 0)
        return `tile ${index} differs in row ${y}`;
    }
  }
  const first = picture.pixels[0];
  if (picture.pixels.every((value) => value === first)) return 'the picture has one colour';
  return null;
}
