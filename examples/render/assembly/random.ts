// One stream of random numbers for each pixel: PCG32 (Melissa O'Neill, "PCG: A Family of Simple Fast Space-Efficient
// Statistically Good Algorithms for Random Number Generation"). Integers only, so it is the same everywhere.

const MULTIPLIER: u64 = 6364136223846793005;
const INCREMENT: u64 = 1442695040888963407;

let state: u64 = 0;

/** Begins the stream of one pixel. Neighbours get unrelated streams. */
export function seedPixel(x: u32, y: u32): void {
  state = ((<u64>y) << 32) | x;
  for (let i = 0; i < 4; i++) {
    state = (state ^ (state >>> 29)) * 0xbf58476d1ce4e5b9;
    state = (state ^ (state >>> 32)) * MULTIPLIER + INCREMENT;
  }
}

/** Uniform in [0, 1), in steps of 2^-32. */
// @ts-ignore: decorator
@inline
export function uniform(): f64 {
  const old = state;
  state = old * MULTIPLIER + INCREMENT;
  const mixed = <u32>(((old >>> 18) ^ old) >>> 27);
  const word = rotr<u32>(mixed, <u32>(old >>> 59));
  return <f64>word * (1.0 / 4294967296.0);
}

/** A point inside the unit disc, by rejection: no sine or cosine, whose last bits differ between libraries. */
export let discX: f64 = 0;
export let discY: f64 = 0;
export function sampleDisc(): void {
  do {
    discX = uniform() * 2.0 - 1.0;
    discY = uniform() * 2.0 - 1.0;
  } while (discX * discX + discY * discY >= 1.0);
}

/** A direction, all equally likely. */
export let sphereX: f64 = 0;
export let sphereY: f64 = 0;
export let sphereZ: f64 = 0;
export function sampleSphere(): void {
  // Marsaglia (1972): a point of the disc lifted onto the sphere.
  sampleDisc();
  const square = discX * discX + discY * discY;
  const lift = 2.0 * sqrt(1.0 - square);
  sphereX = discX * lift;
  sphereY = discY * lift;
  sphereZ = 1.0 - 2.0 * square;
}
