import { isMergeShard, type ShardOutput } from './run-command.ts';
import { shardCount } from '#actors/contract/job-spec.ts';
import type { JobRow, ShardRow, Store, VoteRow } from '#actors/store/store.ts';

import type { Evidence } from './manifest.ts';

/** Shards whose evidence is in memory at once. */
const WINDOW = 2_000;

interface Rows {
  readonly shards: readonly ShardRow[];
  readonly votes: readonly VoteRow[];
}

/**
 * The evidence of a job, window by window in shard order, so that a job of a million shards takes no more memory than a small
 * one. The next window is read while the one before it is looked at.
 */
export async function* readEvidence(store: Store, job: JobRow): AsyncGenerator<Evidence> {
  const total = shardCount(job.spec);
  const publicKeys = new Map((await store.listDevices()).map((d) => [d.id, d.publicKey]));
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
    yield { job, mapOutputs, shards, votes, publicKeys };
  }
}

async function read(store: Store, job: string, from: number): Promise<Rows> {
  const range = { from, to: from + WINDOW };
  const [shards, votes] = await Promise.all([store.shardsOf(job, range), store.votesOf(job, range)]);
  return { shards, votes };
}
