/**
 * The number in [0, 1) that the engine's sampler draws first with a seed: `std::uniform_real_distribution<double>` over a `std::mt19937`,
 * as llama.cpp's dist sampler does. An auditor needs to know it to say how far a token was from being drawn.
 *
 * Source: Matsumoto, Nishimura 1998 (MT19937); the distribution takes two outputs, the first one low, as libstdc++ and libc++ do.
 *
 * @param skip draws that came before with the same seed
 */
export function engineDraw(seed: number, skip = 0): number {
  const state = new Uint32Array(SIZE);
  state[0] = seed >>> 0;
  for (let i = 1; i < SIZE; i++) {
    const last = state[i - 1] ?? 0;
    state[i] = (Math.imul(1_812_433_253, last ^ (last >>> 30)) + i) >>> 0;
  }
  const low = output(state, 2 * skip);
  const high = output(state, 2 * skip + 1);
  return (low + high * 2 ** 32) / 2 ** 64;
}

const SIZE = 624;
const SHIFT = 397;

/** Output number `n`; the first 227 depend on the seeded state alone, and more are never asked for. */
function output(state: Uint32Array, n: number): number {
  const mixed = ((state[n] ?? 0) & 0x8000_0000) | ((state[n + 1] ?? 0) & 0x7fff_ffff);
  let y = (state[n + SHIFT] ?? 0) ^ (mixed >>> 1) ^ ((mixed & 1) === 0 ? 0 : 0x9908_b0df);
  y ^= y >>> 11;
  y ^= (y << 7) & 0x9d2c_5680;
  y ^= (y << 15) & 0xefc6_0000;
  y ^= y >>> 18;
  return y >>> 0;
}
