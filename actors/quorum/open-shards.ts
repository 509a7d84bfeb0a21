import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import type { ShardRow } from '#actors/store/store.ts';

/** An open shard that was leased: only of those more has to be known than that they are open. */
export type OpenShard = Pick<ShardRow, 'id' | 'index' | 'coreOnly'>;

const CLOSED: ReadonlySet<ShardState> = new Set(['provisional', 'sealed', 'failed']);

/** Which shards of a job take votes: a byte for each, so that a million of them cost a megabyte. */
export class OpenShards {
  readonly #open: Uint8Array;
  readonly #ids = new Map<number, number>();
  readonly #coreOnly = new Set<number>();

  /** `states`: of each shard, its place in SHARD_STATES. */
  constructor(states: Uint8Array, touched: readonly OpenShard[]) {
    const closed = SHARD_STATES.map((state) => (CLOSED.has(state) ? 0 : 1));
    this.#open = states.map((code) => closed[code] ?? 0);
    for (const { id, index, coreOnly } of touched) {
      this.leased(index, id);
      if (coreOnly) this.#coreOnly.add(index);
    }
  }

  has(index: number): boolean {
    return this.#open[index] === 1;
  }

  /** Undefined for a shard that is closed, and for one that was never leased: nobody can have voted on it. */
  get(index: number): OpenShard | undefined {
    const id = this.#ids.get(index);
    return this.has(index) && id !== undefined ? { id, index, coreOnly: this.#coreOnly.has(index) } : undefined;
  }

  leased(index: number, id: number): void {
    this.#ids.set(index, id);
  }

  open({ id, index, coreOnly }: OpenShard): void {
    this.#open[index] = 1;
    this.#ids.set(index, id);
    if (coreOnly) this.#coreOnly.add(index);
    else this.#coreOnly.delete(index);
  }

  close(index: number): OpenShard | undefined {
    const shard = this.get(index);
    this.#open[index] = 0;
    this.#ids.delete(index);
    this.#coreOnly.delete(index);
    return shard;
  }
}
