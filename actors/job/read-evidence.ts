import { fenceText } from '#actors/contract/primitives.ts';
import { comparatorOf, shardCount } from '#actors/contract/job-spec.ts';
import { groupsOf } from '#actors/contract/comparator.ts';
import { readOutputs } from '#actors/read-outputs.ts';
import type { Services } from '#actors/services.ts';
import type { JobRow, ShardRow, Store, VoteRow } from '#actors/store/store.ts';

import { isMergeShard, type ShardOutput } from './run-command.ts';
import type { Evidence } from './manifest.ts';

/** Shards whose evidence is in memory at once. */
const WINDOW = 2_000;

export type EvidenceSource = Pick<Services, 'store' | 'objects'>;

interface Rows {
  readonly shards: readonly ShardRow[];
  readonly votes: readonly VoteRow[];
}

/**
 * The evidence of a job, window by window in shard order, so that a job of a million shards takes no more memory than a small
 * one. The next window is read while the one before it is looked at.
 */
export async function* readEvidence({ store, objects }: EvidenceSource, job: JobRow): AsyncGenerator<Evidence> {
  const total = shardCount(job.spec);
  const publicKeys = new Map((await store.listDevices()).map((d) => [d.id, d.publicKey]));
  const formerKeys = await readFormerKeys(store);
  const mapOutputs: ShardOutput[] = [];
  let next = read(store, job.id, 0);
  for (let from = 0; from < total; from += WINDOW) {
    const { shards, votes } = await next;
    next = from + WINDOW < total ? read(store, job.id, from + WINDOW) : next;
    // Whoever reads on meets the error; whoever has stopped does not want it.
    next.catch(() => {});
    // They are the merge's input; no other shard needs them.
    for (const { index, output } of job.spec.merge ? shards : [])
      if (output !== null && !isMergeShard(job.spec, index)) mapOutputs.push({ ref: output, bytes: null });
    const groups = await groupsByComparator(objects, job, votes);
    yield { job, mapOutputs, shards, votes, publicKeys, formerKeys, ...(groups === null ? {} : { groups }) };
  }
}

async function read(store: Store, job: string, from: number): Promise<Rows> {
  const range = { from, to: from + WINDOW };
  const [shards, votes] = await Promise.all([store.shardsOf(job, range), store.votesOf(job, range)]);
  return { shards, votes };
}

/** Null when bytes decide; otherwise the result of each vote on a shard whose votes differ in their bytes. */
async function groupsByComparator(
  objects: EvidenceSource['objects'],
  { spec }: JobRow,
  votes: readonly VoteRow[],
): Promise<ReadonlyMap<string, string> | null> {
  const comparator = comparatorOf(spec);
  if (comparator === null) return null;
  const counted = votes.filter(({ refusal }) => refusal === null);
  const contested = [...Map.groupBy(counted, ({ index }) => index).values()].filter(([first, ...others]) =>
    others.some(({ output }) => output.sha256 !== first?.output.sha256),
  );
  const values = await readOutputs(objects, comparator, contested.flat());
  const groups = new Map<string, string>();
  for (const ballot of contested) {
    const compared = ballot.map(({ fence, output }) => ({ fence, sha256: output.sha256, value: values.get(output.sha256) ?? null }));
    for (const [n, group] of groupsOf(comparator, compared).entries()) {
      const vote = ballot[n];
      if (vote !== undefined) groups.set(fenceText(vote.fence), group);
    }
  }
  return groups;
}

async function readFormerKeys(store: Store): Promise<ReadonlyMap<string, readonly string[]>> {
  const byDevice = new Map<string, string[]>();
  for (const { device, publicKey } of await store.formerKeys()) {
    const keys = byDevice.get(device);
    if (keys === undefined) byDevice.set(device, [publicKey]);
    else keys.push(publicKey);
  }
  return byDevice;
}
