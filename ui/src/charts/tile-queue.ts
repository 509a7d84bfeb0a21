/**
 * Fetches the tiles of a picture as their shards get accepted: each once, few at a time, lowest index first.
 * A tile that fails is tried again when `want` names it anew, three times in all; each failure is reported.
 */
export interface TileQueue {
  /** Shards whose output can be had now; those that were fetched or are under way are ignored. */
  want(shards: Iterable<number>): void;
  close(): void;
}

export interface TileQueueOptions {
  readonly fetch: (shard: number, signal: AbortSignal) => Promise<Uint8Array>;
  readonly arrived: (shard: number, bytes: Uint8Array) => void;
  readonly failed: (shard: number, error: unknown) => void;
  readonly atOnce?: number;
}

const TRIES = 3;

export function createTileQueue({ fetch, arrived, failed, atOnce = 6 }: TileQueueOptions): TileQueue {
  const taken = new Set<number>();
  const failures = new Map<number, number>();
  const waiting: number[] = [];
  const stop = new AbortController();
  let running = 0;

  async function load(shard: number): Promise<void> {
    running += 1;
    try {
      const bytes = await fetch(shard, stop.signal);
      if (!stop.signal.aborted) arrived(shard, bytes);
    } catch (error) {
      const times = (failures.get(shard) ?? 0) + 1;
      failures.set(shard, times);
      if (times < TRIES) taken.delete(shard);
      if (!stop.signal.aborted) failed(shard, error);
    } finally {
      running -= 1;
      pump();
    }
  }

  function pump(): void {
    while (running < atOnce && !stop.signal.aborted) {
      const shard = waiting.shift();
      if (shard === undefined) return;
      void load(shard);
    }
  }

  return {
    want(shards) {
      for (const shard of shards) {
        if (taken.has(shard)) continue;
        taken.add(shard);
        waiting.push(shard);
      }
      pump();
    },
    close() {
      stop.abort();
      waiting.length = 0;
    },
  };
}
