import type { Objects } from '#runtime/objects/objects.ts';
import type { KeyPair } from '#runtime/identity/keys.ts';
import type { Presence } from '#runtime/presence/presence.ts';
import type { Ledger } from '#runtime/database/ledger.ts';
import type { Log } from '#runtime/observe/log.ts';
import type { Change, Outcome, Store } from '#actors/store/store.ts';

/** What the grid's actors are given by the composition root: every way out of the process that they may use. */
export interface Services {
  readonly store: Store;
  /** Group commit of a job's changes; its promise settles when they are durable. */
  readonly ledger: Ledger<Change, Outcome>;
  readonly objects: Objects;
  readonly presence: Presence;
  /** The grid's own key: signs manifests and proves the coordinator to agents. */
  readonly key: KeyPair;
  readonly log: Log;
  /** Repeats idempotent work while the database is away. */
  readonly patiently: <T>(work: () => Promise<T>) => Promise<T>;
  /** Epoch of each partition whose owner is known, this coordinator or another one: what is written under it is fenced. */
  readonly epochs: ReadonlyMap<number, number>;
}
