import type { GgufHeader } from '#actors/contract/gguf/gguf-header.ts';
import type { Capabilities } from '#actors/contract/agent-link.ts';
import type { AttemptState, DeviceState, JobState, ShardState } from '#actors/contract/job-states.ts';
import type { JobSpec } from '#actors/contract/job-spec.ts';
import type { AnswerVerbs } from './answer-verbs.ts';
import type { KeyVerbs } from './key-verbs.ts';
import type { VoteBatch } from '#actors/contract/vote-batch.ts';
import type { Fence, ObjectRef } from '#actors/contract/primitives.ts';
import type { TenantVerbs } from './tenant-policy.ts';
import type { HistoryVerbs } from './history.ts';
import type { KeepingVerbs } from './keeping.ts';

/**
 * The grid's memory, as verbs. Actors know only this file; `postgres/` implements one verb per file, `memory/` the same
 * verbs for the simulation, and one contract suite holds them equal.
 *
 * Every write of a job carries the epoch of the job's partition. A coordinator that lost the partition writes nothing:
 * its verb throws `StaleEpoch`. Verbs that change shards lock them in id order first, so that two transactions never
 * count each other's votes out (facts: READ COMMITTED shows a statement only what was committed before it began).
 */

export const PARTITIONS = 256;

/** The partition was taken by another coordinator: whoever wrote this must stop. */
export class StaleEpoch extends Error {
  override readonly name = 'StaleEpoch';
}

export interface JobRow {
  readonly id: string;
  readonly partition: number;
  readonly tenant: string;
  readonly submittedBy: string;
  readonly spec: JobSpec;
  readonly state: JobState;
  readonly reason: string | null;
  readonly submittedAt: number;
  readonly finishedAt: number | null;
}

export interface ShardRow {
  readonly id: number;
  readonly index: number;
  readonly state: ShardState;
  /** Attempts that still are to be leased. */
  readonly wanted: number;
  readonly failures: number;
  readonly output: ObjectRef | null;
  /** What decided about it, when its job was sealed by belief or a trusted device had the last word. */
  readonly decided?: Decided;
  /** Only a trusted device may run it: its votes are being checked, or nobody else can decide it. */
  readonly coreOnly: boolean;
  /** Wall clock, ms: it is not leased before, because an attempt of it failed. Absent when none did, or none has to wait. */
  readonly retryAt?: number;
}

/** How far a result was believed when its job was sealed, and what decided. */
export interface Decided {
  readonly by: 'quorum' | 'belief' | 'core';
  readonly belief: number | null;
}

export interface AttemptRow {
  readonly fence: Fence;
  readonly job: string;
  readonly shardId: number;
  readonly index: number;
  readonly device: string;
  readonly state: AttemptState;
  readonly leasedAt: number;
  readonly endedAt: number | null;
  readonly reason: string | null;
}

/** A vote on record: one that counts, or one that was refused and why. */
export interface VoteRow {
  readonly fence: Fence;
  readonly job: string;
  readonly shardId: number;
  readonly index: number;
  readonly device: string;
  readonly output: ObjectRef;
  /** The output itself when it travelled inside the vote. */
  readonly bytes: Uint8Array | null;
  readonly signature: string;
  /** Where the vote stands in the batch that the signature covers; absent: it covers this vote alone. */
  readonly batch?: VoteBatch;
  readonly refusal: string | null;
  readonly at: number;
}

export interface DeviceRow {
  readonly id: string;
  readonly name: string;
  readonly publicKey: string;
  readonly state: DeviceState;
  readonly sessionEpoch: number;
  readonly capabilities: Capabilities | null;
  readonly lastSeenAt: number | null;
  readonly enrolledAt: number;
  /** Who vouched for it when it enrolled: the owner of its token, or the token itself. Devices of one are one voice. */
  readonly principal: string;
  /** Enrolled as trusted: its results are taken as true, and others are checked against them. */
  readonly trusted: boolean;
}

/** What a device has earned with one app: see standing-rules.ts. */
export interface StandingRow {
  readonly device: string;
  /** SHA-256 of the job's module. */
  readonly app: string;
  /** Evidence for it and against it: it is believed right with a / (a + b). */
  readonly a: number;
  readonly b: number;
  /** Results that counted as votes. */
  readonly results: number;
  readonly strikes: number;
  /** Why it gets no work of this app and its votes do not count; null when they do. */
  readonly quarantine: string | null;
  readonly updatedAt: number;
}

/** One thing that was learned about a device. */
export type Lesson =
  /** A vote of it counts. */
  | { readonly device: string; readonly kind: 'voted' }
  /** Its peers came to the same result; worth less than an audit. */
  | { readonly device: string; readonly kind: 'agreed' }
  /** A trusted device came to the same result. */
  | { readonly device: string; readonly kind: 'audited' }
  | { readonly device: string; readonly kind: 'strike'; readonly why: string }
  | { readonly device: string; readonly kind: 'quarantine'; readonly why: string };

/** A shard whose votes a trusted device checks, or has checked. */
export interface AuditRow {
  readonly job: string;
  readonly index: number;
  readonly reason: 'audit' | 'dispute';
  readonly openedAt: number;
  /** Devices whose votes were found wrong; null while nobody has answered. */
  readonly wrong: readonly string[] | null;
}

export interface ApiKeyRow {
  readonly id: string;
  readonly tenant: string;
  readonly name: string;
  readonly role: 'admin' | 'submitter';
  readonly createdAt: number;
  readonly revokedAt: number | null;
}

export interface ManifestRow {
  readonly job: string;
  /** Canonical JSON of the manifest, exactly the bytes that were signed. */
  readonly body: string;
  readonly signature: string;
  readonly sealedAt: number;
}

export interface NewJob {
  readonly id: string;
  readonly tenant: string;
  readonly submittedBy: string;
  readonly spec: JobSpec;
  readonly at: number;
}

/** A pending shard that placement may lease. `barred` are devices that hold a live attempt of it or have voted on it, and
 * for jobs that go by belief also their whole principals, devices in quarantine, and all but trusted ones where only those may decide. */
export interface Candidate {
  readonly shardId: number;
  readonly job: string;
  readonly partition: number;
  readonly index: number;
  readonly wanted: number;
  readonly priority: number;
  readonly barred: readonly string[];
  /** Others have voted on it: chosen by lot among the devices that may, so that nobody can tell who checks whom. */
  readonly again?: boolean;
}

/** Jobs of one tenant, in the order in which their shards are looked at, and how many shards of them all. */
export interface Draw {
  readonly jobs: readonly string[];
  readonly limit: number;
}

export interface Assignment {
  readonly shardId: number;
  readonly device: string;
}

export interface Lease {
  readonly fence: Fence;
  readonly job: string;
  readonly partition: number;
  readonly shardId: number;
  readonly index: number;
  readonly device: string;
}

export interface ClaimRequest {
  /** Epochs of the partitions that the caller owns. Shards of other partitions are not seen. */
  readonly epochs: ReadonlyMap<number, number>;
  /** Devices with a free slot: only shards that at least one of them may run are candidates. */
  readonly devices: readonly string[];
  readonly limit: number;
  /** Which shards are looked at. Left out: those of every running job, by priority and age. */
  readonly draws?: readonly Draw[];
  readonly at: number;
  /** Pure and quick: runs between the two statements of the transaction. */
  readonly place: (candidates: readonly Candidate[]) => readonly Assignment[];
}

export interface Lessons {
  readonly app: string;
  readonly learned: readonly Lesson[];
}

/** What the owner of a job wants made durable. Applied all or none per change; many changes share one commit. */
export type Change =
  /** A vote, and what it decides. Applied only while its attempt may still vote and its shard is open. */
  | {
      readonly type: 'vote';
      readonly partition: number;
      readonly epoch: number;
      readonly vote: VoteRow;
      /** `core`: one more attempt, by a trusted device. */
      readonly decision: 'none' | 'accept' | 'another' | 'core';
      /** What is accepted when that is not the vote's own output, but one that others voted for. */
      readonly accepted?: ObjectRef;
      readonly lessons?: Lessons;
      /** Votes before this one that the decision rests on. With fewer on record the database has lost some: nothing is written. */
      readonly restsOn?: number;
    }
  /** A provisional shard that is taken back: it wants one more attempt, by a trusted device when `core`. */
  | {
      readonly type: 'reopen';
      readonly partition: number;
      readonly epoch: number;
      readonly job: string;
      readonly shardId: number;
      readonly core: 'audit' | 'dispute' | null;
      readonly at: number;
    }
  /** A vote that was refused: kept for the record; never counts. Ends its attempt (`refused`) when that is still open. */
  | { readonly type: 'refuse'; readonly partition: number; readonly epoch: number; readonly vote: VoteRow }
  /** An attempt that ends without a vote. When it was still open, its shard wants one more attempt; `failed` counts. */
  | {
      readonly type: 'end';
      readonly partition: number;
      readonly epoch: number;
      readonly fence: Fence;
      readonly state: 'suspect' | 'expired' | 'failed' | 'released';
      readonly reason: string;
      readonly at: number;
      /** Pause before the shard is leased again when the attempt failed: the first, doubled with each failure up to the most. */
      readonly pause?: { readonly firstMs: number; readonly mostMs: number };
    };

/** `applied: false`: the state had moved on (a late vote, an attempt that had ended), nothing was written. */
export interface Outcome {
  readonly applied: boolean;
  /** The database has lost votes that the change rests on: whoever made it knows things that are true no more. */
  readonly forgotten?: true;
  /** What the shard is after the change; null when the attempt or shard is unknown. */
  readonly shardState: ShardState | null;
  /** Attempts that failed so far, of the shard. */
  readonly failures: number;
  /** How the devices stand after the lessons of the change; absent when it taught nothing. */
  readonly standings?: readonly StandingRow[];
}

/** Some of a job's shards: one, those from `from` to before `to`, or all of a job that is known to be small. */
export type ShardRange = number | { readonly from: number; readonly to: number } | null;

export interface ActiveJob {
  readonly job: JobRow;
  /** Of each shard, its place in SHARD_STATES: a byte for each, for a job may have a million. */
  readonly states: Uint8Array;
  /** Open shards that want another number of attempts than a new one does, or only a trusted device. */
  readonly touched: readonly ShardRow[];
  /** Attempts of open shards that may still vote: leased, suspect or expired. */
  readonly attempts: readonly AttemptRow[];
  /** Votes that count, of shards that are open (not yet provisional). */
  readonly votes: readonly VoteRow[];
  /** Votes that count, of all shards. */
  readonly voteCount: number;
}

export interface Session {
  readonly sessionEpoch: number;
  readonly device: DeviceRow;
  /** Attempts of the device that may still vote. */
  readonly attempts: readonly AttemptRow[];
}

export interface ModelRow {
  readonly name: string;
  readonly sha256: string;
  readonly size: number;
  readonly contextSize: number;
}

/** A model file in the object store. */
export interface StoredModelRow {
  readonly name: string;
  readonly sha256: string;
  readonly size: number;
  /** The object that holds the SHA-256 of each of its chunks. */
  readonly chunks: string;
  readonly header: GgufHeader;
  /** Where it came from, for people. */
  readonly source: string;
  readonly createdAt: number;
}

export interface UsageRow {
  readonly id: string;
  readonly tenant: string;
  readonly apiKey: string;
  readonly model: string;
  readonly device: string | null;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly outcome: string;
  readonly at: number;
}

export interface UsageQuery {
  readonly tenant: string | null;
  readonly apiKey: string | null;
  readonly from: number;
  readonly to: number;
}

export interface UsageSum {
  readonly tenant: string;
  readonly apiKey: string;
  readonly model: string;
  readonly requests: number;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Null: no limit. Months are UTC. */
export interface KeyLimits {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  readonly monthlyTokens: number | null;
}

export interface FileRow {
  readonly id: string;
  readonly tenant: string;
  readonly purpose: string;
  readonly filename: string;
  readonly sha256: string;
  readonly size: number;
  readonly createdAt: number;
}

export interface BatchRow {
  readonly id: string;
  readonly tenant: string;
  readonly apiKey: string;
  /** Work on it goes on. */
  readonly open: boolean;
  /** JSON. */
  readonly body: string;
  readonly createdAt: number;
}

export interface BatchResultRow {
  readonly line: number;
  readonly failed: boolean;
  /** JSON. */
  readonly body: string;
}

export interface EventRow {
  readonly at: number;
  readonly subject: string;
  readonly kind: string;
  readonly text: string;
}

export interface Store extends AnswerVerbs, KeyVerbs, TenantVerbs, KeepingVerbs, HistoryVerbs {
  /** Takes every partition for this coordinator; each gets an epoch higher than any before. */
  takePartitions(coordinator: string): Promise<ReadonlyMap<number, number>>;
  /** A random 32-byte seed made once and kept: signs object URLs. */
  clusterSecret(): Promise<Uint8Array>;

  createApiKey(row: ApiKeyRow, hash: string): Promise<void>;
  findApiKey(hash: string): Promise<ApiKeyRow | null>;
  listApiKeys(): Promise<readonly ApiKeyRow[]>;
  revokeApiKey(id: string, at: number): Promise<boolean>;

  createEnrolmentToken(token: {
    hash: string;
    name: string;
    uses: number;
    expiresAt: number;
    createdAt: number;
    /** Principal of the devices that come with it; default: the token itself. */
    owner?: string;
    /** They are the grid's own: their results are taken as true. */
    trusted?: boolean;
  }): Promise<void>;
  /** Spends one use of the token and enrols the device in one transaction; null when the token does not allow it. */
  enrol(tokenHash: string, device: { id: string; name: string; publicKey: string }, at: number): Promise<DeviceRow | null>;
  findDevice(id: string): Promise<DeviceRow | null>;
  listDevices(): Promise<readonly DeviceRow[]>;
  /** A new session fences the one before it. Null when the device is unknown or revoked. */
  openSession(device: string, capabilities: Capabilities, at: number): Promise<Session | null>;
  /** Renews sessions in one statement; answers the devices whose session epoch is still the given one. */
  beat(sessions: readonly { device: string; sessionEpoch: number }[], at: number): Promise<ReadonlySet<string>>;
  /** False when the session was fenced meanwhile (sessionEpoch null: administration, not a session). */
  setDeviceState(device: string, sessionEpoch: number | null, state: DeviceState, at: number): Promise<boolean>;

  /** The job and all its shards in one transaction. The same id again answers the job that is there. */
  createJob(job: NewJob, epoch: number): Promise<{ created: boolean; job: JobRow }>;
  findJob(id: string): Promise<JobRow | null>;
  listJobs(tenant: string | null, limit: number): Promise<readonly JobRow[]>;
  /** Shards by state, and counting votes, of each of these jobs; one statement. */
  tallyJobs(ids: readonly string[]): Promise<ReadonlyMap<string, { counts: Record<ShardState, number>; votes: number }>>;
  /** Jobs that are not done, failed or cancelled, in these partitions. */
  openJobs(partitions: readonly number[]): Promise<readonly { id: string; partition: number }[]>;
  /** Claims the job for this epoch and reads all that its actors need, in one transaction. */
  activateJob(id: string, epoch: number): Promise<ActiveJob | null>;
  /** Moves the job when it is in one of `from`. Cancelling and failing also releases its open attempts and stops claims. */
  moveJob(id: string, epoch: number, from: readonly JobState[], to: JobState, reason: string | null, at: number): Promise<boolean>;
  /** Replaces the spec of a job that is queued: what its needs came to stands in it from then on. False when it is not queued. */
  resolveSpec(id: string, epoch: number, spec: JobSpec): Promise<boolean>;
  /** Lets the merge shard be claimed (blocked → pending). */
  unblockMerge(id: string, epoch: number): Promise<boolean>;
  /** One transaction: all shards provisional → sealed, the manifest kept, the job done. */
  seal(manifest: ManifestRow, epoch: number): Promise<boolean>;
  /** Notes how these provisional shards were decided (null: by a plain count of votes), before their job is sealed. */
  noteDecided(job: string, epoch: number, decided: ReadonlyMap<number, Decided | null>): Promise<void>;
  /** Leaf hashes of the log of manifests, in the order of the seals: the first `size` of them, or all. Only ever grows. */
  manifestLog(size: number | null): Promise<readonly Uint8Array[]>;
  /** Where a job's manifest stands in the log, from 0; null while the job is not sealed. */
  logPosition(job: string): Promise<number | null>;
  findManifest(job: string): Promise<ManifestRow | null>;

  claim(request: ClaimRequest): Promise<readonly Lease[]>;
  /** One commit for all of them; outcomes in the order of the changes. */
  commit(changes: readonly Change[]): Promise<readonly Outcome[]>;

  /** Reading for people and for receipts. In shard order; refused votes included. */
  votesOf(job: string, range: ShardRange): Promise<readonly VoteRow[]>;
  attemptsOf(job: string, index: number | null): Promise<readonly AttemptRow[]>;
  /** In their order. */
  shardsOf(job: string, range?: ShardRange): Promise<readonly ShardRow[]>;
  /** Of each shard, its place in SHARD_STATES. Empty when there is no such job. */
  shardStates(job: string): Promise<Uint8Array>;

  /** How devices stand with an app, or one device with every app. */
  standings(of: { readonly app: string } | { readonly device: string }): Promise<readonly StandingRow[]>;
  /** Ends a quarantine, by people: the device starts anew with the app. False when there was none. */
  pardon(device: string, app: string, at: number): Promise<boolean>;
  /** Audits and disputes of a job, oldest first. */
  auditsOf(job: string): Promise<readonly AuditRow[]>;

  /** `at` is kept of the first time only. */
  recordModels(models: readonly ModelRow[], at: number): Promise<void>;
  /** When files of these names and hashes were first recorded, in their order; 0 for those that never were. */
  modelsFirstSeen(models: readonly Pick<ModelRow, 'name' | 'sha256'>[]): Promise<readonly number[]>;
  /** Each id once, however often it comes. */
  recordUsage(usage: readonly UsageRow[]): Promise<void>;
  /** Sums by tenant, key and model, of times from `from` to before `to`; of one tenant or key, or of all when null. */
  usageSums(query: UsageQuery): Promise<readonly UsageSum[]>;
  setKeyLimits(key: string, limits: KeyLimits): Promise<void>;
  /** No limits at all for a key that never got any. */
  keyLimits(key: string): Promise<KeyLimits>;
  saveFile(file: FileRow): Promise<void>;
  findFile(id: string): Promise<FileRow | null>;
  listFiles(tenant: string): Promise<readonly FileRow[]>;
  deleteFile(id: string): Promise<boolean>;

  saveBatch(batch: BatchRow): Promise<void>;
  findBatch(id: string): Promise<BatchRow | null>;
  /** Newest first. */
  listBatches(tenant: string, limit: number): Promise<readonly BatchRow[]>;
  openBatches(): Promise<readonly BatchRow[]>;
  /** A line's first answer stays. */
  recordBatchResults(batch: string, results: readonly BatchResultRow[]): Promise<void>;
  /** In the order of the lines. */
  batchResults(batch: string): Promise<readonly BatchResultRow[]>;
  /** Keeps the file under its name. False when the name stands for another file already; the same file again is a success. */
  storeModel(model: StoredModelRow): Promise<boolean>;
  listStoredModels(): Promise<readonly StoredModelRow[]>;
  /** The row that was removed, null when there was none. Its objects are not touched. */
  removeStoredModel(name: string): Promise<StoredModelRow | null>;
  recordEvents(events: readonly EventRow[]): Promise<void>;
  listEvents(subject: string | null, limit: number): Promise<readonly EventRow[]>;
}
