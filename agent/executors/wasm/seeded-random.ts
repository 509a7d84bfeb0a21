const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export interface SeededBytes {
  fill(into: Uint8Array): void;
  /** Where the stream stands; `resume` goes on from there. */
  state(): readonly [number, number, number, number];
  resume(state: readonly [number, number, number, number]): void;
}

/**
 * The random numbers that a module sees: the same for the same arguments on every machine, different between shards when
 * `{shard}` is among the arguments. Not for secrets.
 *
 * Sources: FNV-1a (Fowler, Noll, Vo) for the seed; sfc32 of PractRand (Chris Doty-Humphrey, public domain) for the stream.
 */
export function seededBytes(args: readonly string[]): SeededBytes {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(args.join('\0'))) hash = Math.imul(hash ^ byte, FNV_PRIME);
  let a = hash | 0;
  let b = Math.imul(hash, FNV_PRIME) | 0;
  let c = 0x9e3779b9 | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return sum;
  };
  for (let i = 0; i < 16; i++) next(); // mixes the seed in
  return {
    fill(into) {
      for (let i = 0; i < into.length; i++) into[i] = next() >>> 24;
    },
    state: () => [a >>> 0, b >>> 0, c >>> 0, counter >>> 0],
    resume(state) {
      [a, b, c, counter] = [state[0] | 0, state[1] | 0, state[2] | 0, state[3] | 0];
    },
  };
}
