import { createHash } from 'node:crypto';

import type { View } from '#actors/contract/job-spec.ts';
import { SHARD_STATES, type JobState, type ShardState } from '#actors/contract/job-states.ts';
import type { AttemptDetail, DeviceSummary, JobSummary, ShardCounts, ShardDetail, VoteDetail } from '#actors/contract/live.ts';
import { merkleRoot } from '#actors/contract/merkle.ts';
import {
  leafHashOf,
  leafOf,
  makeReceipt,
  manifestBytes,
  voteBytes,
  type Manifest,
  type Receipt,
  type ReceiptLeaf,
} from '#actors/contract/receipt.ts';
import { fingerprint, sha256, sha256Hex } from '#runtime/identity/digest.ts';
import { generateKeyPair, type KeyPair } from '#runtime/identity/keys.ts';

/** Jobs and devices out of thin air for the pages' tests. Keys and signatures are real; the same seed makes the same world. */

export interface InventedDevice {
  readonly summary: DeviceSummary;
  readonly key: KeyPair;
}

export interface InventedJob {
  summary: JobSummary;
  readonly states: Uint8Array;
  seq: number;
  /** Shards whose vote somebody disagreed with. */
  readonly dissent: ReadonlySet<number>;
  readonly devices: readonly InventedDevice[];
}

export const START = Date.UTC(2026, 4, 4, 12, 2);
const HOUR = 3_600_000;
const GRID_KEY = generateKeyPair(() => new Uint8Array(32).fill(9));
const NAMES = [
  'atelier-07',
  'zurich-render-12',
  'lyon-desk-03',
  'austin-lab-21',
  'pune-build-5',
  'leeds-annex-2',
  'MacBook von Jana',
  'okafor-thinkpad',
];

const seedOf = (text: string): Buffer => createHash('sha256').update(text).digest();
const uuidOf = (text: string): string =>
  seedOf(text)
    .toString('hex')
    .replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/, '$1-$2-4$3-8$4-$5');
const digits = (text: string): string =>
  BigInt(`0x${sha256Hex(Buffer.from(text)).slice(0, 16)}`)
    .toString(36)
    .padStart(10, '0')
    .slice(0, 10);

export function inventDevice(n: number, over: Partial<DeviceSummary> = {}): InventedDevice {
  const key = generateKeyPair(() => seedOf(`device ${n}`));
  const macs = n % 8 === 6;
  const summary: DeviceSummary = {
    id: `dev-${digits(`device ${n}`)}`,
    name: n < NAMES.length ? (NAMES[n] ?? '') : `machine-${String(n).padStart(5, '0')}`,
    state: 'present',
    fingerprint: fingerprint(key.publicKey),
    os: macs ? 'darwin' : n % 5 === 3 ? 'win32' : 'linux',
    arch: macs ? 'arm64' : 'x64',
    cores: [8, 16, 12, 64][n % 4] ?? 8,
    memoryBytes: ([16, 32, 64, 256][n % 4] ?? 16) * 1024 ** 3,
    slots: [4, 8, 6, 32][n % 4] ?? 4,
    running: n % 3,
    load: (((n * 37) % 100) / 100) * ([8, 16, 12, 64][n % 4] ?? 8),
    models: n % 4 === 3 ? [{ name: 'qwen2.5-0.5b-instruct', state: 'ready', memoryBytes: 620 * 1024 ** 2 }] : [],
    agentVersion: '0.1.0',
    lastSeenAt: START - (n % 5) * 900,
    enrolledAt: START - 30 * 24 * HOUR + n * 1000,
    ...over,
  };
  return { summary, key };
}

export interface JobWish {
  readonly name: string;
  readonly shards: number;
  readonly state?: JobState;
  readonly quorum?: number;
  readonly view?: View;
  readonly hasMerge?: boolean;
  readonly reasons?: JobSummary['reasons'];
  /** State of each shard; without it all are waiting. */
  readonly shardState?: (index: number) => ShardState;
  readonly dissent?: readonly number[];
  readonly submittedAt?: number;
  readonly submittedBy?: string;
  readonly devices: readonly InventedDevice[];
}

export function countStates(states: Uint8Array): ShardCounts {
  const counts: ShardCounts = { pending: 0, leased: 0, voting: 0, provisional: 0, sealed: 0, failed: 0, blocked: 0 };
  for (const byte of states) {
    const state = SHARD_STATES[byte];
    if (state) counts[state] += 1;
  }
  return counts;
}

export function inventJob(wish: JobWish): InventedJob {
  const { name, shards, quorum = 2, devices } = wish;
  const states = new Uint8Array(shards);
  for (let index = 0; index < shards; index++) states[index] = SHARD_STATES.indexOf(wish.shardState?.(index) ?? 'pending');
  const counts = countStates(states);
  const state = wish.state ?? 'running';
  const submittedAt = wish.submittedAt ?? START;
  const summary: JobSummary = {
    id: uuidOf(name),
    name,
    state,
    tenant: 'default',
    submittedBy: wish.submittedBy ?? 'M. Okafor',
    submittedAt,
    finishedAt: ['done', 'failed', 'cancelled'].includes(state) ? submittedAt + 11 * 60_000 : null,
    shards,
    counts,
    votes: quorum * (counts.provisional + counts.sealed) + counts.voting,
    quorum,
    verified: quorum > 1,
    module: sha256Hex(Buffer.from(`module of ${name}`)),
    view: wish.view ?? null,
    hasMerge: wish.hasMerge ?? false,
    reasons: wish.reasons ?? [],
  };
  return { summary, states, seq: 1, dissent: new Set(wish.dissent), devices };
}

/** Output of a shard: the tile of a Mandelbrot picture for a job that paints, else a line of text. */
export function outputOf(job: InventedJob, index: number): Uint8Array {
  const { view } = job.summary;
  if (!view) return Buffer.from(`${job.summary.name} ${index}\n`);
  const columns = Math.ceil(view.width / view.tile);
  const left = (index % columns) * view.tile;
  const top = Math.floor(index / columns) * view.tile;
  const width = Math.min(view.tile, view.width - left);
  const height = Math.min(view.tile, view.height - top);
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 3) {
      const cr = ((left + x) / view.width) * 3.2 - 2.3;
      const ci = ((top + y - view.height / 2) / view.width) * 3.2;
      let [zr, zi, steps] = [0, 0, 0];
      for (; steps < 120 && zr * zr + zi * zi < 64; steps++) [zr, zi] = [zr * zr - zi * zi + cr, 2 * zr * zi + ci];
      const heat = steps === 120 ? 0 : Math.min(1, Math.log2(steps + 1 - Math.log2(Math.log2(zr * zr + zi * zi))) / 5.5);
      rgb.set([20 + heat ** 3 * 230, 30 + heat * 170, 36 + heat * 130 - heat ** 3 * 60], at);
    }
  }
  return rgb;
}

const isSettled = (state: ShardState | undefined): boolean => state === 'provisional' || state === 'sealed';

export function detailOf(job: InventedJob, index: number): ShardDetail {
  const { summary, devices } = job;
  const state = SHARD_STATES[job.states[index] ?? 0] ?? 'pending';
  const settled = isSettled(state);
  const wanted = settled ? summary.quorum : state === 'voting' ? 1 : 0;
  const bytes = settled || state === 'voting' ? outputOf(job, index) : new Uint8Array();
  const output = { sha256: sha256Hex(bytes), size: bytes.length };
  const leasedAt = summary.submittedAt + 5_000 + (index % 97) * 800;
  const votes: VoteDetail[] = [];
  const attempts: AttemptDetail[] = [];
  const attempt = (nth: number, over: Partial<AttemptDetail>): AttemptDetail => {
    const { summary: device } = devices[(index + nth) % devices.length] ?? inventDevice(0);
    return {
      fence: { epoch: 3, seq: index * 10 + nth + 1 },
      device: device.id,
      deviceName: device.name,
      state: 'voted',
      leasedAt,
      endedAt: leasedAt + 4100,
      reason: null,
      ...over,
    };
  };
  const vote = (from: AttemptDetail, sha: string, agrees: boolean): VoteDetail => {
    const key = devices.find((device) => device.summary.id === from.device)?.key ?? GRID_KEY;
    const statement = {
      job: summary.id,
      shard: index,
      fence: from.fence,
      module: summary.module,
      inputDigest: sha256Hex(Buffer.from(`input ${index}`)),
      output: { sha256: sha, size: output.size },
    };
    const signature = Buffer.from(key.sign(voteBytes(statement))).toString('hex');
    return {
      device: from.device,
      deviceName: from.deviceName,
      fence: from.fence,
      state: 'accepted',
      reason: null,
      sha256: sha,
      size: output.size,
      signature,
      agrees,
      at: from.endedAt ?? leasedAt,
    };
  };
  for (let nth = 0; nth < wanted; nth++) {
    const from = attempt(nth, { leasedAt: leasedAt + nth * 700, endedAt: leasedAt + 2600 + nth * 1500 });
    attempts.push(from);
    votes.push(vote(from, output.sha256, true));
  }
  if (job.dissent.has(index)) {
    const from = attempt(wanted, { leasedAt: leasedAt + 300, endedAt: leasedAt + 2000 });
    attempts.push(from);
    votes.push(vote(from, sha256Hex(Buffer.from(`wrong ${index}`)), false));
    attempts.push(
      attempt(wanted + 1, { state: 'expired', leasedAt: leasedAt + 100, endedAt: leasedAt + 1500, reason: 'no sign of life for 10 s' }),
    );
  }
  if (state === 'leased' || state === 'voting') attempts.push(attempt(5, { state: 'leased', endedAt: null, leasedAt: leasedAt + 1200 }));
  if (state === 'failed')
    for (let nth = 0; nth < 5; nth++)
      attempts.push(
        attempt(nth, {
          state: 'failed',
          leasedAt: leasedAt + nth * 900,
          endedAt: leasedAt + nth * 900 + 700,
          reason: 'the module stopped with exit code 3',
        }),
      );
  return { job: summary.id, index, state, quorum: summary.quorum, output: settled ? output : null, votes, attempts };
}

/** A real receipt of a sealed shard; null while it is not sealed. */
export function receiptOf(job: InventedJob, index: number): Receipt | null {
  const { summary, states, devices } = job;
  if (SHARD_STATES[states[index] ?? 0] !== 'sealed') return null;
  const leaves = Array.from(states, (_, shard): ReceiptLeaf => {
    const detail = detailOf(job, shard);
    const votes = detail.votes
      .filter((vote) => vote.agrees)
      .map((vote) => ({
        device: vote.device,
        publicKey: devices.find((device) => device.summary.id === vote.device)?.key.publicKey ?? '',
        fence: vote.fence,
        inputDigest: sha256Hex(Buffer.from(`input ${shard}`)),
        signature: vote.signature,
      }));
    return leafOf(shard, detail.output ?? { sha256: sha256Hex(new Uint8Array()), size: 0 }, votes);
  });
  const leafHashes = leaves.map((leaf) => leafHashOf(leaf, sha256));
  const manifest: Manifest = {
    version: 1,
    job: summary.id,
    tenant: summary.tenant,
    module: summary.module,
    mergeModule: null,
    spec: sha256Hex(Buffer.from('spec')),
    shards: summary.shards,
    quorum: summary.quorum,
    root: Buffer.from(merkleRoot(leafHashes, sha256)).toString('hex'),
    epoch: 3,
    sealedAt: summary.finishedAt ?? summary.submittedAt,
    gridKey: GRID_KEY.publicKey,
  };
  const leaf = leaves[index];
  if (!leaf) return null;
  return makeReceipt(
    { manifest, manifestSignature: Buffer.from(GRID_KEY.sign(manifestBytes(manifest))).toString('hex'), leafHashes },
    leaf,
    sha256,
  );
}
