import { comparatorOf, maxErrorOf, mapShardCount } from '#actors/contract/job-spec.ts';
import { GrowingTree } from '#actors/contract/merkle.ts';
import { leafHashOf } from '#actors/contract/receipt.ts';
import type { QuorumRef, ReviewAnswer } from '#actors/quorum/quorum.protocol.ts';
import type { Decided, JobRow, Store } from '#actors/store/store.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import type { Objects } from '#runtime/objects/objects.ts';

import { notedOf, withDecided } from './decided.ts';
import { isMergeStale, leavesOf, type Evidence, type Sealed } from './manifest.ts';
import { readEvidence } from './read-evidence.ts';

/** A review reads evidence and may take back many shards. */
const REVIEW_MS = 600_000;

export interface ReviewScope {
  readonly store: Store;
  readonly objects: Objects;
  readonly job: JobRow;
  readonly epoch: number;
  readonly quorum: QuorumRef;
  /** What is still in doubt goes to a trusted device at once. */
  readonly lastWord: boolean;
}

export type ReviewResult =
  | { readonly type: 'stands'; readonly sealed: Sealed; readonly staleMerge: boolean }
  /** Shards were taken back and want another vote. */
  | { readonly type: 'reopened'; readonly reopened: readonly number[] }
  /** A shard does not stand, and nobody is left to vote on it. */
  | { readonly type: 'lost'; readonly index: number; readonly reason: string };

/**
 * Before anything is built on accepted results: all of them are judged again with today's credit of their voters. As long as
 * they stand, how each was decided is noted in the store and its leaf is hashed, in the same pass over the evidence.
 */
export async function reviewPass(scope: ReviewScope): Promise<ReviewResult> {
  const result = await pass(scope, maxErrorOf(scope.job.spec) === null && comparatorOf(scope.job.spec) === null);
  // A trusted device had the last word somewhere: then every leaf says what decided it.
  return result === 'not plain' ? asResult(await pass(scope, false)) : result;
}

function asResult(result: ReviewResult | 'not plain'): ReviewResult {
  if (result === 'not plain') throw new Error('a pass that says what decided was found too plain');
  return result;
}

async function pass({ store, objects, job, epoch, quorum, lastWord }: ReviewScope, plain: boolean): Promise<ReviewResult | 'not plain'> {
  const tree = new GrowingTree(sha256);
  const reopened: number[] = [];
  let staleMerge = false;
  let first = true;
  for await (const evidence of readEvidence({ store, objects }, job)) {
    const { shards, votes } = evidence;
    const answer = await quorum.review({ shards, votes, lastWord, again: !first }, { timeoutMs: REVIEW_MS });
    first = false;
    const [lost] = answer.lost;
    if (lost !== undefined) return { type: 'lost', ...lost };
    reopened.push(...answer.reopened);
    if (reopened.length > 0 || isWaiting(evidence)) continue;
    const decided = decidedOf(evidence, answer, plain);
    if (decided === 'not plain') return decided;
    await note(store, { job, epoch }, evidence, decided);
    const judged = shards.map((row) => withDecided(row, decided.get(row.index) ?? null));
    for (const leaf of leavesOf({ ...evidence, shards: judged })) {
      staleMerge ||= isMergeStale(job, leaf);
      tree.push(leafHashOf(leaf, sha256));
    }
  }
  if (reopened.length > 0) return { type: 'reopened', reopened };
  return { type: 'stands', sealed: { root: tree.root(), plain }, staleMerge };
}

/** The window of the merge shard, before it has run: nothing is sealed on it. */
function isWaiting({ job, shards }: Evidence): boolean {
  return job.spec.merge !== undefined && shards.at(-1)?.index === mapShardCount(job.spec) && shards.at(-1)?.output === null;
}

function decidedOf({ shards }: Evidence, { standing }: ReviewAnswer, plain: boolean): ReadonlyMap<number, Decided | null> | 'not plain' {
  const decided = new Map<number, Decided | null>();
  for (const { index } of shards) {
    const how = standing.get(index);
    if (plain && how !== undefined && how.by !== 'quorum') return 'not plain';
    decided.set(index, plain || how === undefined ? null : notedOf(how));
  }
  return decided;
}

async function note(
  store: Store,
  { job, epoch }: Pick<ReviewScope, 'job' | 'epoch'>,
  { shards }: Evidence,
  decided: ReadonlyMap<number, Decided | null>,
): Promise<void> {
  const fresh = shards.flatMap(({ index, decided: before }): [number, Decided | null][] => {
    const how = decided.get(index) ?? null;
    return before?.by === how?.by && before?.belief === how?.belief ? [] : [[index, how]];
  });
  if (fresh.length > 0) await store.noteDecided(job.id, epoch, new Map(fresh));
}
