import type { Acquirer, ModelPoolRef, PoolReport } from './model-pool.protocol.ts';

/** A model's pool on one coordinator, and what it says of itself. */
export interface ReportedPool {
  readonly pool: ModelPoolRef;
  readonly report: PoolReport;
}

/** Those that can serve soonest come first: with ready replicas by what each of them has to do, then those that load, then the rest. */
export function mostAble(pools: readonly ReportedPool[]): ReportedPool[] {
  return pools.toSorted((a, b) => waitOf(a.report) - waitOf(b.report));
}

const LOADING = 1e6;
const COULD_LOAD = 2e6;
const NOTHING = 3e6;

function waitOf({ replicas, fitsOn }: PoolReport): number {
  const ready = replicas.filter(({ state }) => state === 'ready');
  if (ready.length > 0) return ready.reduce((sum, { active }) => sum + active, 0) / ready.length;
  if (replicas.some(({ state }) => state === 'loading' || state === 'downloading')) return LOADING;
  return replicas.some(({ state }) => state === 'offered') || fitsOn.length > 0 ? COULD_LOAD : NOTHING;
}

/** Hands an acquirer to the first of the pools that lives, with the others as its way on. False when none does. */
export function acquireAny(acquirer: Acquirer, pools: readonly ModelPoolRef[]): boolean {
  return pools.some((pool, i) => pool.acquire({ ...acquirer, elsewhere: pools.slice(i + 1) }) === 'accepted');
}

/** One model's report out of those of its pools. */
export function mergedReport(reports: readonly PoolReport[]): PoolReport | null {
  const [first] = reports;
  if (first === undefined) return null;
  return {
    ...first,
    stored: reports.find(({ stored }) => stored !== null)?.stored ?? null,
    needsBytes: reports.find(({ needsBytes }) => needsBytes !== null)?.needsBytes ?? null,
    fitsOn: [...new Set(reports.flatMap(({ fitsOn }) => fitsOn))].sort(),
    replicas: reports.flatMap(({ replicas }) => replicas),
  };
}
