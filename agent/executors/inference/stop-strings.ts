export interface StopStrings {
  /** Text that may be shown, and whether a stop string came: then this is the last of it. */
  push(text: string): { text: string; stopped: boolean };
  /** What was held back because a stop string might have begun with it. */
  end(): string;
}

/** Length of the longest end of `text` with which `stop` could begin. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}

/**
 * Looks for stop strings in text that arrives in pieces. The text before the first one is handed out, the stop string and
 * what follows never; an end that might still become one waits.
 */
export function createStopStrings(stops: readonly string[]): StopStrings {
  // Half a surrogate pair would match half a character.
  const wanted = stops.map((stop) => stop.toWellFormed()).filter((stop) => stop !== '');
  let held = '';
  return {
    push(text) {
      const all = held + text;
      const hits = wanted.map((stop) => all.indexOf(stop)).filter((index) => index >= 0);
      if (hits.length > 0) {
        held = '';
        return { text: all.slice(0, Math.min(...hits)), stopped: true };
      }
      const keep = Math.max(0, ...wanted.map((stop) => overlap(all, stop)));
      held = all.slice(all.length - keep);
      return { text: all.slice(0, all.length - keep), stopped: false };
    },
    end() {
      const rest = held;
      held = '';
      return rest;
    },
  };
}
