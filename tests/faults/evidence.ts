import { expect } from 'vitest';

import type { ShardDetail } from '#actors/contract/live.ts';
import { verifyReceipt } from '#actors/contract/receipt.ts';
import { sha256, sha256Hex } from '#runtime/identity/digest.ts';
import { verify } from '#runtime/identity/verify.ts';
import { untilOver, type Painted } from '#tests/support/fault-job.ts';
import type { Grid } from '#tests/support/grid.ts';

/**
 * What every fault must leave behind: the job is done, its result and each shard's output are those of a run without
 * faults, each shard has exactly one accepted result with its quorum of different devices, and every receipt holds
 * against the grid's key. Answers the shards' records for what a test wants to see besides.
 */
export async function expectRight(grid: Grid, job: string, painted: Painted): Promise<ShardDetail[]> {
  const summary = await untilOver(grid.client, job);
  expect(summary.reasons).toEqual([]);
  expect(summary.state).toBe('done');
  const wanted = [...painted.tiles, painted.result];
  expect(summary.shards).toBe(wanted.length);
  expect(summary.counts).toMatchObject({ sealed: wanted.length, pending: 0, leased: 0, voting: 0, provisional: 0, failed: 0, blocked: 0 });

  const merged = await grid.client.output(job, wanted.length - 1);
  expect(sha256Hex(new Uint8Array(await merged.arrayBuffer()))).toBe(sha256Hex(painted.result));

  const shards = await Promise.all(wanted.map((_, index) => grid.client.shard(job, index)));
  for (const [index, bytes] of wanted.entries()) {
    const shard = shards[index];
    expect(shard).toMatchObject({ index, state: 'sealed', output: { sha256: sha256Hex(bytes), size: bytes.length } });
    expectOneResult(shard);
  }

  const receipts = await grid.client.receipts(job);
  expect(receipts.map((receipt) => receipt.leaf.shard)).toEqual([...wanted.keys()]);
  for (const receipt of receipts) {
    const verdict = verifyReceipt(receipt, { sha256, verify, gridKey: grid.gridKey });
    expect(verdict.checks.filter((check) => !check.ok)).toEqual([]);
    expect(verdict.ok).toBe(true);
    expect(new Set(receipt.leaf.votes.map((vote) => vote.device)).size).toBeGreaterThanOrEqual(2);
  }
  return shards;
}

function expectOneResult(shard: ShardDetail | undefined): void {
  const counted = shard?.votes.filter((vote) => vote.state === 'accepted') ?? [];
  const agreeing = counted.filter((vote) => vote.agrees);
  expect(agreeing.length, 'the vote that reaches the quorum is the last that counts').toBe(shard?.quorum);
  expect(new Set(counted.map((vote) => vote.device)).size, 'no device counts twice').toBe(counted.length);
  const open = shard?.attempts.filter((attempt) => attempt.state === 'voted').length;
  expect(open, 'each vote that counts used up its own attempt').toBe(counted.length);
}

/** Attempts of one device, over all shards. */
export function attemptsOf(shards: readonly ShardDetail[], device: string): ShardDetail['attempts'] {
  return shards.flatMap((shard) => shard.attempts.filter((attempt) => attempt.device === device));
}

export function votesOf(shards: readonly ShardDetail[], device: string): ShardDetail['votes'] {
  return shards.flatMap((shard) => shard.votes.filter((vote) => vote.device === device));
}
