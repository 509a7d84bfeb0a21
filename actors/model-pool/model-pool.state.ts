/**
 * Replicas of one model, as far as choosing one goes.
 *
 *   offered ──asked for──▶ loading ──▶ ready ⇄ busy(active > 0) ──▶ unloaded (= offered)
 *   loading ──▶ failed ──after RETRY_MS──▶ offered
 */
export interface Replica {
  readonly device: string;
  state: 'offered' | 'loading' | 'ready' | 'failed';
  memoryBytes: number;
  active: number;
  failedAt: number;
  reason: string;
}

/** A replica that failed to load is not tried again before. */
export const RETRY_MS = 30_000;

/** The ready replica with fewest generations; the lower device id among equals. */
export function leastLoaded(replicas: Iterable<Replica>): Replica | undefined {
  let best: Replica | undefined;
  for (const r of replicas) {
    if (r.state !== 'ready') continue;
    if (best === undefined || r.active < best.active || (r.active === best.active && r.device < best.device)) best = r;
  }
  return best;
}

/** The replica to load next when none is ready: one that nobody tried, or whose failure is long ago. */
export function loadable(replicas: Iterable<Replica>, now: number): Replica | undefined {
  let best: Replica | undefined;
  for (const r of replicas) {
    const may = r.state === 'offered' || (r.state === 'failed' && now - r.failedAt >= RETRY_MS);
    if (may && (best === undefined || r.device < best.device)) best = r;
  }
  return best;
}
