import type { GenerationRef } from '#actors/generation/generation.protocol.ts';
import type { PromptChain } from '#actors/generation/prompt-chain.ts';

import type { FairQueue } from './fair-queue.ts';
import type { WarmPrompts } from './warm-prompts.ts';

/**
 * Replicas of one model, as far as choosing one goes.
 *
 *   offered ──asked for──▶ loading ──▶ ready ⇄ busy(active > 0) ──▶ unloaded (= offered)
 *   (a device without the file) ──asked for──▶ downloading ──▶ loading
 *   downloading, loading ──▶ failed ──after RETRY_MS──▶ tried again
 */
export interface Replica {
  readonly device: string;
  state: 'offered' | 'downloading' | 'loading' | 'ready' | 'failed';
  memoryBytes: number;
  active: number;
  failedAt: number;
  /** A failed one is tried again after so many milliseconds. */
  retryMs: number;
  /** Generations at once. */
  readonly capacity: number;
  draining: boolean;
  /** It serves when nobody else can. */
  avoided: boolean;
  /** There are more replicas than are needed: it goes as soon as nothing runs on it. */
  retiring: boolean;
  reason: string;
}

/** A replica that failed to load is not tried again before this many milliseconds. */
export const RETRY_MS = 30_000;

/** A replica with generations beside it must know so many blocks more of a prompt to be chosen all the same: what waits in a batch costs too. */
const BLOCKS_PER_GENERATION = 4;
/** More than any prompt can save. */
const LAST_RESORT = 1e9;

/**
 * The ready replica that has least to do for a prompt: what it would have to compute of it, now or again for others later, and what it
 * computes already. Among equals the one with most empty sequences, then the lower device id. Replicas that are full are not asked: a copy elsewhere is better than to wait.
 */
export function bestFor<R extends Replica & { readonly warm: WarmPrompts }>(
  prompt: PromptChain,
  replicas: Iterable<R>,
  exclude: readonly string[],
): R | undefined {
  let best: { readonly replica: R; readonly cost: number } | undefined;
  for (const r of replicas) {
    if (r.state !== 'ready' || r.draining || r.active >= r.capacity || exclude.includes(r.device)) continue;
    const cost = (r.avoided || r.retiring ? LAST_RESORT : 0) + r.active * BLOCKS_PER_GENERATION + r.warm.cost(prompt);
    const equal = best !== undefined && cost === best.cost;
    const colder = best !== undefined && (r.warm.cold - best.replica.warm.cold || (r.device < best.replica.device ? 1 : -1)) > 0;
    if (best === undefined || cost < best.cost || (equal && colder)) best = { replica: r, cost };
  }
  return best?.replica;
}

/** The replica to load next when none is ready: one that nobody tried, or whose failure is long ago. */
export function loadable(replicas: Iterable<Replica>, now: number): Replica | undefined {
  let best: Replica | undefined;
  for (const r of replicas) {
    const may = !r.draining && (r.state === 'offered' || (r.state === 'failed' && now >= retryAt(r)));
    if (may && (best === undefined || r.device < best.device)) best = r;
  }
  return best;
}

/** The replica that goes first when there are too many: one that is only asked when nobody else can, then the one with least to do. */
export function retired<R extends Replica>(replicas: Iterable<R>): R | undefined {
  const ready = [...replicas].filter((r) => r.state === 'ready' && !r.draining && !r.retiring);
  if (ready.length < 2) return undefined;
  return ready.sort((a, b) => Number(b.avoided) - Number(a.avoided) || a.active - b.active || (a.device < b.device ? 1 : -1))[0];
}

/** When a failed replica may be tried again. */
export function retryAt(replica: Replica): number {
  return replica.failedAt + replica.retryMs;
}

/** A device that could be given the file. */
export interface Candidate {
  readonly device: string;
  readonly memoryBytes: number;
}

/** The device with the most memory that has enough and no replica yet; the lower id among equals. */
export function bestCandidate<C extends Candidate>(
  candidates: Iterable<C>,
  needsBytes: number,
  taken: (device: string) => boolean,
): C | undefined {
  let best: C | undefined;
  for (const c of candidates) {
    if (c.memoryBytes < needsBytes || taken(c.device)) continue;
    if (best === undefined || c.memoryBytes > best.memoryBytes || (c.memoryBytes === best.memoryBytes && c.device < best.device)) best = c;
  }
  return best;
}

/** A generation that holds a slot. */
export interface Active {
  readonly owner: GenerationRef;
  readonly key: string;
  readonly device: string;
  /** It was asked to give the slot up. */
  leaving: boolean;
}

/**
 * Whose slot a waiting key may have: the newest generation of the key that runs most, if that key would still run as many as the waiting one
 * afterwards; or, for a key that runs nothing at all, of a key that had more tokens and has more waiting. One at a time.
 */
export function victimOf({
  key,
  exclude,
  queue,
  active,
}: {
  readonly key: string;
  readonly exclude: readonly string[];
  readonly queue: Pick<FairQueue<unknown>, 'served' | 'waiting'>;
  readonly active: readonly Active[];
}): Active | undefined {
  if (active.some((a) => a.leaving)) return undefined;
  const counts = new Map<string, number>();
  for (const a of active) counts.set(a.key, (counts.get(a.key) ?? 0) + 1);
  const mine = counts.get(key) ?? 0;
  const [most] = [...counts].sort((a, b) => b[1] - a[1]);
  if (most === undefined || most[0] === key) return undefined;
  const [hog, runs] = most;
  const shares = mine + 1 < runs;
  const turns = mine === 0 && queue.waiting(hog) > 0 && queue.served(key) < queue.served(hog);
  if (!shares && !turns) return undefined;
  return active.findLast((a) => a.key === hog && !exclude.includes(a.device));
}
