import { expect, onTestFinished } from 'vitest';

import type { Capabilities } from '#actors/contract/agent-link.ts';
import { JobSpec } from '#actors/contract/job-spec.ts';
import { partitionOf } from '#actors/store/partition.ts';
import type { Assignment, Candidate, Change, JobRow, Lease, Outcome, ShardRow, Store, VoteRow } from '#actors/store/store.ts';

/** A store with nothing in it, and the way to get rid of it. Closing it fails when something of it is left open. */
export interface StoreUnderTest {
  readonly store: Store;
  readonly close: () => Promise<void>;
}

export type OpenStore = () => Promise<StoreUnderTest>;

export const JOB = 'c0ffee00-0000-4000-8000-000000000001';
export const CAPABILITIES: Capabilities = {
  agentVersion: '1.0.0',
  hostname: 'desk',
  os: 'linux',
  arch: 'x64',
  cores: 8,
  memoryBytes: 1024,
  slots: 4,
  kinds: ['wasm'],
  gpus: [],
  models: [],
};

export function jobId(n: number): string {
  return `c0ffee00-0000-4000-8000-${n.toString().padStart(12, '0')}`;
}

export function spec(changes: Record<string, unknown> = {}): JobSpec {
  return JobSpec.parse({ version: 1, name: 'primes', kind: 'wasm', module: object('m'), shards: { count: 1 }, ...changes });
}

export function object(name: string, size = 3): { sha256: string; size: number } {
  return { sha256: Buffer.from(name).toString('hex').padEnd(64, '0'), size };
}

/** Every candidate as often as it wants, on the first devices that may have it. */
export function greedy(devices: readonly string[]): (candidates: readonly Candidate[]) => readonly Assignment[] {
  return (candidates) =>
    candidates.flatMap(({ shardId, wanted, barred }) =>
      devices
        .filter((device) => !barred.includes(device))
        .slice(0, wanted)
        .map((device) => ({ shardId, device })),
    );
}

/** A store with short words for what most tests do. It is closed when the test ends. */
export class Scene {
  readonly store: Store;
  epochs: ReadonlyMap<number, number> = new Map();

  constructor(store: Store) {
    this.store = store;
  }

  static async open(open: OpenStore): Promise<Scene> {
    const { store, close } = await open();
    onTestFinished(close);
    const scene = new Scene(store);
    scene.epochs = await store.takePartitions('coordinator-1');
    return scene;
  }

  epoch(job = JOB): number {
    const epoch = this.epochs.get(partitionOf(job));
    if (epoch === undefined) throw new Error('no such partition');
    return epoch;
  }

  async queuedJob(changes: Record<string, unknown> = {}, { id = JOB, tenant = 'acme', at = 1_000 } = {}): Promise<JobRow> {
    const { job } = await this.store.createJob({ id, tenant, submittedBy: 'ann', spec: spec(changes), at }, this.epoch(id));
    return job;
  }

  async runningJob(changes: Record<string, unknown> = {}, where: { id?: string; tenant?: string; at?: number } = {}): Promise<JobRow> {
    const job = await this.queuedJob(changes, where);
    expect(await this.move(['queued'], 'running', job.id)).toBe(true);
    return job;
  }

  move(from: readonly JobRow['state'][], to: JobRow['state'], id = JOB, reason: string | null = null): Promise<boolean> {
    return this.store.moveJob(id, this.epoch(id), from, to, reason, 9_000);
  }

  claim(devices: readonly string[], { limit = 1_000, place = greedy(devices) } = {}): Promise<readonly Lease[]> {
    return this.store.claim({ epochs: this.epochs, devices, limit, at: 2_000, place });
  }

  /** Leases one attempt of the only shard that there is to this device. */
  async lease(device: string): Promise<Lease> {
    const leases = await this.claim([device], { limit: 1 });
    expect(leases).toHaveLength(1);
    const [lease] = leases;
    if (!lease) throw new Error('nothing leased');
    return lease;
  }

  voteRow(lease: Lease, changes: Partial<VoteRow> = {}): VoteRow {
    const { fence, job, shardId, index, device } = lease;
    const row = { fence, job, shardId, index, device, output: object('out'), bytes: new Uint8Array([1, 2, 3]), refusal: null, at: 3_000 };
    return { ...row, signature: `${fence.seq}`.padStart(128, '0'), ...changes };
  }

  vote(lease: Lease, decision: 'none' | 'accept' | 'another' = 'none', changes: Partial<VoteRow> = {}): Change {
    return { type: 'vote', partition: lease.partition, epoch: this.epoch(lease.job), vote: this.voteRow(lease, changes), decision };
  }

  refuse(lease: Lease, refusal = 'bad signature', changes: Partial<VoteRow> = {}): Change {
    const vote = this.voteRow(lease, { refusal, ...changes });
    return { type: 'refuse', partition: lease.partition, epoch: this.epoch(lease.job), vote };
  }

  end(lease: Lease, state: 'suspect' | 'expired' | 'failed' | 'released', reason = 'because'): Extract<Change, { type: 'end' }> {
    return { type: 'end', partition: lease.partition, epoch: this.epoch(lease.job), fence: lease.fence, state, reason, at: 4_000 };
  }

  /** Commits one change by itself. */
  async one(change: Change): Promise<Outcome> {
    const [outcome] = await this.store.commit([change]);
    if (!outcome) throw new Error('no outcome');
    return outcome;
  }

  async shard(index = 0, job = JOB): Promise<ShardRow> {
    const shard = (await this.store.shardsOf(job))[index];
    if (!shard) throw new Error(`no shard ${index}`);
    return shard;
  }

  async attemptStates(index: number | null = 0, job = JOB): Promise<readonly string[]> {
    return (await this.store.attemptsOf(job, index)).map((attempt) => attempt.state);
  }

  /** Lets a token in as often as wanted and enrols devices with these names through it. */
  async enrolled(...names: readonly string[]): Promise<void> {
    await this.store.createEnrolmentToken({ hash: 'token', name: 'office', uses: names.length, expiresAt: 10_000, createdAt: 0 });
    for (const name of names) {
      const device = await this.store.enrol('token', { id: name, name, publicKey: `key of ${name}` }, 1_000);
      expect(device?.id).toBe(name);
    }
  }
}
