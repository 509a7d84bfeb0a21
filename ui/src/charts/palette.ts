/** The tokens that canvases paint with, read from the style sheet so that both themes stay in one place. */
export interface Palette {
  readonly bg: string;
  readonly line: string;
  readonly lineStrong: string;
  readonly ink: string;
  readonly neutral: string;
  readonly verdigris: string;
  readonly wash: string;
  readonly copper: string;
  readonly signal: string;
  readonly amber: string;
}

/** `read` answers the value of a custom property, as `getComputedStyle(element).getPropertyValue` does. */
export function readPalette(read: (property: string) => string): Palette {
  const token = (name: string): string => read(`--${name}`).trim();
  return {
    bg: token('bg'),
    line: token('line'),
    lineStrong: token('line-strong'),
    ink: token('ink'),
    neutral: token('ink-3'),
    verdigris: token('verdigris'),
    wash: token('verdigris-wash'),
    copper: token('copper'),
    signal: token('signal'),
    amber: token('amber'),
  };
}
