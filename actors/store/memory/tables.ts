import { fenceText } from '#actors/contract/primitives.ts';
import type { ShardUnderChange } from '../shard-rules.ts';
import { PARTITIONS, StaleEpoch } from '../store.ts';
import type { ApiKeyRow, AttemptRow, DeviceRow, EventRow, JobRow, ManifestRow, ModelRow, UsageRow, VoteRow } from '../store.ts';

export type Mutable<Row> = { -readonly [Key in keyof Row]: Row[Key] };
export type MemoryAttempt = Mutable<AttemptRow>;

/** A job and what hangs below it. */
export interface MemoryJob {
  row: JobRow;
  /** By index. */
  readonly shards: readonly ShardUnderChange[];
  /** In the order in which they came. */
  readonly votes: VoteRow[];
}

export interface MemoryToken {
  usesLeft: number;
  readonly expiresAt: number;
}

/** The rows of a memory store. Every verb runs to its end before another one starts, and hands out copies. */
export interface Tables {
  readonly epochs: Map<number, number>;
  /** The last fence that was given. */
  fences: number;
  /** The last shard id that was given. */
  shardIds: number;
  secret: Uint8Array | null;
  /** By hash. */
  readonly apiKeys: Map<string, ApiKeyRow>;
  readonly tokens: Map<string, MemoryToken>;
  readonly devices: Map<string, { row: DeviceRow; readonly enrolledWith: string }>;
  readonly jobs: Map<string, MemoryJob>;
  readonly shards: Map<number, ShardUnderChange>;
  /** By the text of their fence. */
  readonly attempts: Map<string, MemoryAttempt>;
  readonly attemptsOfShard: Map<number, MemoryAttempt[]>;
  /** `shard device` of votes that count. */
  readonly voters: Set<string>;
  /** Refusals that are on record, by what makes them the same one. */
  readonly refusals: Set<string>;
  readonly manifests: Map<string, ManifestRow>;
  readonly objects: Map<string, number>;
  readonly models: Map<string, ModelRow>;
  readonly usage: Map<string, UsageRow>;
  readonly events: EventRow[];
}

export function emptyTables(): Tables {
  return {
    epochs: new Map(Array.from({ length: PARTITIONS }, (_, partition) => [partition, 0])),
    fences: 0,
    shardIds: 0,
    secret: null,
    apiKeys: new Map(),
    tokens: new Map(),
    devices: new Map(),
    jobs: new Map(),
    shards: new Map(),
    attempts: new Map(),
    attemptsOfShard: new Map(),
    voters: new Set(),
    refusals: new Set(),
    manifests: new Map(),
    objects: new Map(),
    models: new Map(),
    usage: new Map(),
    events: [],
  };
}

/** @throws StaleEpoch when the partition has another epoch */
export function holdEpoch(tables: Tables, partition: number, epoch: number | undefined): void {
  const current = tables.epochs.get(partition);
  if (current !== epoch)
    throw new StaleEpoch(`Partition ${partition} is at epoch ${current ?? 'none'}; this write came with ${epoch ?? 'none'}.`);
}

export function addAttempt(tables: Tables, attempt: MemoryAttempt): void {
  tables.attempts.set(fenceText(attempt.fence), attempt);
  const ofShard = tables.attemptsOfShard.get(attempt.shardId) ?? [];
  ofShard.push(attempt);
  tables.attemptsOfShard.set(attempt.shardId, ofShard);
}

export function attemptsOfShard(tables: Tables, shard: { readonly id: number }): readonly MemoryAttempt[] {
  return tables.attemptsOfShard.get(shard.id) ?? [];
}
