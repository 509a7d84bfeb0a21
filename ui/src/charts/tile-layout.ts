import type { View } from '#actors/contract/job-spec.ts';

/** Where one shard paints in the picture, in the picture's own pixels. Tiles at the right and lower edge are smaller. */
export interface Tile {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function tileColumns(view: View): number {
  return Math.ceil(view.width / view.tile);
}

/** Null when the shard lies outside the picture. */
export function tileOf(view: View, shard: number): Tile | null {
  const columns = tileColumns(view);
  const x = (shard % columns) * view.tile;
  const y = Math.floor(shard / columns) * view.tile;
  if (shard < 0 || y >= view.height) return null;
  return { x, y, width: Math.min(view.tile, view.width - x), height: Math.min(view.tile, view.height - y) };
}

/** 8-bit RGB rows to the RGBA that a canvas takes; null when the bytes are not one tile's. */
export function rgbToRgba(rgb: Uint8Array, tile: Tile): Uint8ClampedArray<ArrayBuffer> | null {
  const pixels = tile.width * tile.height;
  if (rgb.length !== pixels * 3) return null;
  const rgba = new Uint8ClampedArray(pixels * 4);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    rgba[to] = rgb[from] ?? 0;
    rgba[to + 1] = rgb[from + 1] ?? 0;
    rgba[to + 2] = rgb[from + 2] ?? 0;
    rgba[to + 3] = 255;
  }
  return rgba;
}

/** How much smaller than the picture its canvas is: browsers refuse or stutter on canvases of hundreds of megapixels. */
export function canvasScale(view: View): number {
  return Math.min(1, 4096 / Math.max(view.width, view.height));
}
