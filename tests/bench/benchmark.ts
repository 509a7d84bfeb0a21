/** One value, and the most or the least that it may be. */
export type Target = { readonly atMost: number } | { readonly atLeast: number };

/** What a benchmark found. Names are the keys that programs read; they say their unit. */
export interface Findings {
  readonly figures: Readonly<Record<string, number>>;
  /** A figure divided by one of a baseline of the same run: holds on any machine, which the figures do not. */
  readonly ratios: Readonly<Record<string, number>>;
  /** By the name of a figure or ratio. */
  readonly targets: Readonly<Record<string, Target>>;
  /** Baselines that could not be run here, with the reason. Each counts as missed. */
  readonly absent: Readonly<Record<string, string>>;
}

export interface BenchmarkOptions {
  /** Under 50 s, with less certainty. */
  readonly quick: boolean;
  /** Tells people what is going on. */
  readonly note: (text: string) => void;
}

export interface Benchmark {
  readonly about: string;
  run(options: BenchmarkOptions): Promise<Findings>;
}

/** Names of the targets that were not reached, and of what could not be measured. */
export function missedOf({ figures, ratios, targets, absent }: Findings): string[] {
  const values = { ...figures, ...ratios };
  const late = Object.entries(targets).filter(([name, target]) => {
    const value = values[name];
    return value === undefined || !('atMost' in target ? value <= target.atMost : value >= target.atLeast);
  });
  return [...late.map(([name]) => name), ...Object.keys(absent).map((name) => `baseline ${name}`)];
}

/** The middle of several rounds: one that was disturbed does not move it. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  if (upper === undefined || lower === undefined) throw new Error('the median of nothing');
  return (upper + lower) / 2;
}

export function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
