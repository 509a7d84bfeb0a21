/**
 * Numbers in [0, 1) from a seed: mulberry32 by Tommy Ettinger (public domain). Integer arithmetic only, so every machine
 * draws the same ones.
 */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** `count` weights around 0 with about the given deviation. A sum of three draws: near enough to normal, and exact everywhere. */
export function randomWeights(count: number, random: () => number, deviation: number): Float32Array {
  const weights = new Float32Array(count);
  for (let i = 0; i < count; i++) weights[i] = (random() + random() + random() - 1.5) * 2 * deviation;
  return weights;
}
