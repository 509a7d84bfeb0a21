import type { FormerKey } from '#actors/contract/former-keys.ts';
import type { TenantPolicy } from '../tenant-policy.ts';
import type { NodeLife } from '#runtime/cluster/cluster-store.ts';
import { fenceText } from '#actors/contract/primitives.ts';
import type { ShardUnderChange } from '../shard-rules.ts';
import type { CheckpointRow } from '../keeping.ts';
import type { StandingUnderChange } from '../standing-rules.ts';
import { PARTITIONS, StaleEpoch } from '../store.ts';
import type { MemoryNode } from './cluster.ts';
import type { Transaction } from './transaction.ts';
import type { AnswerRow } from '../answer-verbs.ts';
import type {
  ApiKeyRow,
  AttemptRow,
  AuditRow,
  BatchResultRow,
  BatchRow,
  DeviceRow,
  EventRow,
  FileRow,
  JobRow,
  KeyLimits,
  ManifestRow,
  ModelRow,
  StoredModelRow,
  UsageRow,
  VoteRow,
} from '../store.ts';

export type Mutable<Row> = { -readonly [Key in keyof Row]: Row[Key] };
export type MemoryAttempt = Mutable<AttemptRow>;
export type MemoryAudit = Mutable<AuditRow>;

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
  readonly principal: string;
  readonly trusted: boolean;
}

export interface MemoryDevice {
  row: DeviceRow;
  readonly enrolledWith: string;
}

/** What is committed. Only a committing transaction changes it; verbs read it between two waits and hand out copies. */
export interface Tables {
  readonly epochs: Map<number, number>;
  /** Lives that took the partitions; a partition without one is free. */
  readonly owners: Map<number, NodeLife>;
  /** Coordinators, by their ids. */
  readonly nodes: Map<string, MemoryNode>;
  /** The last fence that was given. A sequence: never taken back with its transaction. */
  fences: number;
  /** The last shard id that was given. */
  shardIds: number;
  readonly secrets: Map<string, Uint8Array>;
  /** By hash. */
  readonly apiKeys: Map<string, ApiKeyRow>;
  readonly tokens: Map<string, MemoryToken>;
  readonly devices: Map<string, MemoryDevice>;
  /** In the order in which they ended. */
  readonly formerKeys: FormerKey[];
  readonly jobs: Map<string, MemoryJob>;
  readonly shards: Map<number, ShardUnderChange>;
  /** By the text of their fence. */
  readonly attempts: Map<string, MemoryAttempt>;
  readonly attemptsOfShard: Map<number, MemoryAttempt[]>;
  /** Votes that count, by `shard device`. */
  readonly voters: Map<string, VoteRow>;
  /** Refusals that are on record, by what makes them the same one. */
  readonly refusals: Map<string, VoteRow>;
  /** By `app device`. */
  readonly standings: Map<string, StandingUnderChange>;
  /** By shard, oldest first. */
  readonly audits: Map<number, MemoryAudit[]>;
  readonly manifests: Map<string, ManifestRow>;
  /** In the order of the seals. */
  readonly manifestLog: { readonly job: string; readonly leaf: Uint8Array }[];
  readonly objects: Map<string, { readonly size: number; readonly recordedAt: number }>;
  readonly sweep: { dueAt: number; holder: string | null; heldUntil: number };
  /** By job, shard and device. Null: dropped. */
  readonly checkpoints: Map<string, CheckpointRow | null>;
  readonly models: Map<string, ModelRow>;
  /** Models by hash and name: when they were first recorded. */
  readonly modelsFirstSeen: Map<string, number>;
  readonly storedModels: Map<string, StoredModelRow>;
  readonly usage: Map<string, UsageRow>;
  readonly answers: Map<string, AnswerRow>;
  readonly keyLimits: Map<string, KeyLimits>;
  readonly tenantPolicies: Map<string, TenantPolicy>;
  /** Null: deleted. */
  readonly files: Map<string, FileRow | null>;
  readonly batches: Map<string, BatchRow>;
  /** By batch and line. */
  readonly batchResults: Map<string, BatchResultRow>;
  readonly events: EventRow[];
}

export function emptyTables(): Tables {
  return {
    epochs: new Map(Array.from({ length: PARTITIONS }, (_, partition) => [partition, 0])),
    owners: new Map(),
    nodes: new Map(),
    fences: 0,
    shardIds: 0,
    secrets: new Map(),
    apiKeys: new Map(),
    tokens: new Map(),
    devices: new Map(),
    formerKeys: [],
    jobs: new Map(),
    shards: new Map(),
    attempts: new Map(),
    attemptsOfShard: new Map(),
    voters: new Map(),
    refusals: new Map(),
    standings: new Map(),
    audits: new Map(),
    manifests: new Map(),
    manifestLog: [],
    objects: new Map(),
    sweep: { dueAt: 0, holder: null, heldUntil: 0 },
    checkpoints: new Map(),
    models: new Map(),
    modelsFirstSeen: new Map(),
    storedModels: new Map(),
    usage: new Map(),
    answers: new Map(),
    keyLimits: new Map(),
    tenantPolicies: new Map(),
    files: new Map(),
    batches: new Map(),
    batchResults: new Map(),
    events: [],
  };
}

/**
 * Holds partitions at these epochs until the transaction has ended, as `postgres/hold-epochs.ts` does: whoever takes one waits.
 *
 * @throws StaleEpoch when a partition has another epoch
 */
export async function holdEpochs(
  tx: Transaction,
  tables: Tables,
  expected: readonly (readonly [partition: number, epoch: number | undefined])[],
): Promise<void> {
  for (const [partition, epoch] of expected) tx.epochs.set(partition, epoch);
  await tx.statement();
  const ids = [...new Set(expected.map(([partition]) => partition))].sort((a, b) => a - b);
  await tx.lock('partition', ids, 'share');
  for (const [partition, epoch] of expected) checkEpoch(tables, partition, epoch);
}

/** @throws StaleEpoch when the partition has another epoch */
export function checkEpoch(tables: Tables, partition: number, epoch: number | undefined): void {
  const current = tables.epochs.get(partition);
  if (current !== epoch)
    throw new StaleEpoch(`Partition ${partition} is at epoch ${current ?? 'none'}; this write came with ${epoch ?? 'none'}.`);
}

export function addAttempt(tx: Transaction, tables: Tables, attempt: MemoryAttempt): void {
  let ofShard = tables.attemptsOfShard.get(attempt.shardId);
  if (ofShard === undefined) tables.attemptsOfShard.set(attempt.shardId, (ofShard = []));
  tx.put(tables.attempts, fenceText(attempt.fence), attempt);
  tx.append(ofShard, attempt);
}

export function attemptsOfShard(tables: Tables, shard: { readonly id: number }): readonly MemoryAttempt[] {
  return tables.attemptsOfShard.get(shard.id) ?? [];
}
