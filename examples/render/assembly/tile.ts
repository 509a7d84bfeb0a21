// One tile of the picture: camera with a lens, samples spread over each pixel, tone curve, 8-bit RGB rows.

import { flush, writeByte } from "../../wasi/assembly/streams";
import { followPath, lightB, lightG, lightR } from "./path";
import { discX, discY, sampleDisc, seedPixel, uniform } from "./random";
import { buildScene } from "./scene";

// The eye, what it looks at, half the picture's height at distance 1, the lens and its focus.
const EYE_X: f64 = 0.55, EYE_Y: f64 = 2.75, EYE_Z: f64 = -8.4;
const AIM_X: f64 = 0.08, AIM_Y: f64 = 0.72, AIM_Z: f64 = 0.0;
const HALF: f64 = 0.335;
const LENS: f64 = 0.075;
const FOCUS: f64 = 7.55;
const EXPOSURE: f64 = 1.12;

// The camera's axes: right, up, forward.
let rx: f64 = 0, rz: f64 = 0;
let ux: f64 = 0, uy: f64 = 0, uz: f64 = 0;
let fx: f64 = 0, fy: f64 = 0, fz: f64 = 0;

function aim(): void {
  fx = AIM_X - EYE_X;
  fy = AIM_Y - EYE_Y;
  fz = AIM_Z - EYE_Z;
  const length = sqrt(fx * fx + fy * fy + fz * fz);
  fx /= length;
  fy /= length;
  fz /= length;
  const flat = sqrt(fx * fx + fz * fz);
  rx = fz / flat;
  rz = -fx / flat;
  // up = forward x right
  ux = fy * rz;
  uy = fz * rx - fx * rz;
  uz = -fy * rx;
}

/** Renders the pixels from (x0, y0) up to (x1, y1) and writes them. `side` is the number of samples along a pixel's edge. */
export function renderTile(x0: i32, y0: i32, x1: i32, y1: i32, width: i32, height: i32, samples: i32): void {
  buildScene();
  aim();
  let side = 1;
  while ((side + 1) * (side + 1) <= samples) side++;
  for (let y = y0; y < y1; y++) for (let x = x0; x < x1; x++) renderPixel(x, y, width, height, samples, side);
  flush();
}

function renderPixel(x: i32, y: i32, width: i32, height: i32, samples: i32, side: i32): void {
  seedPixel(x, y);
  let red: f64 = 0, green: f64 = 0, blue: f64 = 0;
  for (let i = 0; i < samples; i++) {
    // The first side² samples lie in a grid, one in each square; the others anywhere.
    const gridded = i < side * side;
    const across = gridded ? (<f64>(i % side) + uniform()) / <f64>side : uniform();
    const down = gridded ? (<f64>(i / side) + uniform()) / <f64>side : uniform();
    lookThrough(
      ((<f64>x + across) * 2.0 - <f64>width) / <f64>height * HALF,
      (1.0 - (<f64>y + down) * 2.0 / <f64>height) * HALF,
    );
    red += lightR;
    green += lightG;
    blue += lightB;
  }
  const scale = EXPOSURE / <f64>samples;
  writeByte(toneOf(red * scale));
  writeByte(toneOf(green * scale));
  writeByte(toneOf(blue * scale));
}

function lookThrough(right: f64, up: f64): void {
  sampleDisc();
  const lensX = discX * LENS;
  const lensY = discY * LENS;
  const sx = right * FOCUS - lensX;
  const sy = up * FOCUS - lensY;
  followPath(
    EYE_X + rx * lensX + ux * lensY,
    EYE_Y + uy * lensY,
    EYE_Z + rz * lensX + uz * lensY,
    rx * sx + ux * sy + fx * FOCUS,
    uy * sy + fy * FOCUS,
    rz * sx + uz * sy + fz * FOCUS,
  );
}

/** Filmic curve (Narkowicz's fit of ACES), then a gamma of 2: both need no more than division and a root. */
function toneOf(light: f64): i32 {
  const x = light * 0.8;
  const curve = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14);
  return <i32>(sqrt(max(0.0, min(1.0, curve))) * 255.0 + 0.5);
}
