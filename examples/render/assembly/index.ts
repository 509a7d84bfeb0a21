// A path-traced picture in tiles. Without a command it renders the tile of one shard; `merge` makes a PNG of all tiles.
//   --width 640 --height 640 --tile 64 --samples 64 --shard {shard}
//   merge --width 640 --height 640 --tile 64

import { fail, programArguments } from "../../wasi/assembly/process";
import { writePicture } from "./png";
import { renderTile } from "./tile";

const MAX_SIDE = 16384;

/** The number behind an option. Fails when it is missing, no number, or outside its bounds. */
function option(args: string[], name: string, least: i32, most: i32): i32 {
  const at = args.indexOf(name);
  const text = at >= 0 && at + 1 < args.length ? args[at + 1] : "";
  let value: i64 = text.length > 0 && text.length < 10 ? 0 : -1;
  for (let i = 0; i < text.length && value >= 0; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    value = digit >= 0 && digit <= 9 ? value * 10 + digit : -1;
  }
  if (value < least || value > most) fail(name + " must be a whole number from " + least.toString() + " to " + most.toString());
  return <i32>value;
}

function main(): void {
  const args = programArguments();
  const width = option(args, "--width", 1, MAX_SIDE);
  const height = option(args, "--height", 1, MAX_SIDE);
  const tile = option(args, "--tile", 1, 4096);
  if (args[0] == "merge") {
    writePicture(width, height, tile);
    return;
  }
  const columns = (width + tile - 1) / tile;
  const rows = (height + tile - 1) / tile;
  const samples = option(args, "--samples", 1, 65536);
  const shard = option(args, "--shard", 0, columns * rows - 1);
  const x = (shard % columns) * tile;
  const y = (shard / columns) * tile;
  renderTile(x, y, min(x + tile, width), min(y + tile, height), width, height, samples);
}

main();
