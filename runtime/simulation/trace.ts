/**
 * What happened in a simulation, boiled down to one number, so that two runs can be compared at no cost, and the last
 * happenings in words, for whoever replays a run that went wrong.
 */
export interface Trace {
  note(what: string): void;
  /** The same for the same happenings in the same order: 53 bits as hex. */
  readonly hash: string;
  readonly length: number;
  /** The last ones, the oldest first. */
  readonly recent: readonly string[];
}

/** Source of the mixing: cyrb53 by bryc, public domain. `kept` happenings are remembered in words. */
export function createTrace(now: () => number, kept = 0): Trace {
  let h1 = 0xdeadbeef;
  let h2 = 0x41c6ce57;
  let length = 0;
  const recent: string[] = [];

  return {
    note(what) {
      length += 1;
      const at = now();
      h1 = Math.imul(h1 ^ Math.round(at * 1_000), 2_654_435_761);
      for (let i = 0; i < what.length; i++) {
        const code = what.charCodeAt(i);
        h1 = Math.imul(h1 ^ code, 2_654_435_761);
        h2 = Math.imul(h2 ^ code, 1_597_334_677);
      }
      h1 ^= h2 >>> 13;
      if (kept === 0) return;
      recent.push(`${at.toFixed(3)} ${what}`);
      if (recent.length > kept) recent.shift();
    },
    get hash() {
      return (4_294_967_296 * (2_097_151 & h2) + (h1 >>> 0)).toString(16);
    },
    get length() {
      return length;
    },
    recent,
  };
}
