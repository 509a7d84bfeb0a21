import { describe, expect, it } from 'vitest';

import type { JobSpec } from '#actors/contract/job-spec.ts';
import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import { afterVote, nextStep, ShardTable } from '#actors/job/job.state.ts';

const module = { sha256: 'a'.repeat(64), size: 1 };
const limits = { memoryMiB: 1, timeoutSeconds: 1, outputMiB: 1 };
const plain: JobSpec = {
  version: 1,
  name: 'n',
  kind: 'wasm',
  module,
  args: [],
  shards: { count: 2 },
  limits,
  quorum: 2,
  maxFailures: 3,
  priority: 0,
};
const merging: JobSpec = { ...plain, merge: { module, args: [] } };

const tableOf = (...states: ShardState[]): ShardTable => new ShardTable(Uint8Array.from(states, (state) => SHARD_STATES.indexOf(state)));

describe('the table of shards', () => {
  it('keeps its tally while states change, and hands out each change once', () => {
    const table = tableOf('pending', 'leased', 'pending');
    table.set(0, 'provisional');
    table.set(1, 'leased');
    expect(table.counts()).toMatchObject({ pending: 1, leased: 1, provisional: 1, failed: 0 });
    expect(table.takeChanges()).toEqual([[0, 3]]);
    expect(table.takeChanges()).toEqual([]);
  });

  it('ignores a shard that the job does not have', () => {
    const table = tableOf('pending');
    table.set(5, 'failed');
    expect(table.count('failed')).toBe(0);
  });
});

describe('what a job needs next', () => {
  it('is nothing while shards are open, and sealing when all are provisional', () => {
    const table = tableOf('pending', 'pending');
    expect(nextStep(plain, 'running', table)).toBe('none');
    table.set(0, 'provisional');
    table.set(1, 'provisional');
    expect(nextStep(plain, 'running', table)).toBe('seal');
    expect(nextStep(plain, 'paused', table)).toBe('none');
    expect(nextStep(plain, 'cancelled', table)).toBe('none');
  });

  it('is the merge once every map shard is settled, and only once', () => {
    const table = tableOf('pending', 'pending', 'blocked');
    table.set(0, 'provisional');
    expect(nextStep(merging, 'running', table)).toBe('none');
    table.set(1, 'provisional');
    expect(nextStep(merging, 'running', table)).toBe('unblockMerge');
    table.set(2, 'pending');
    expect(nextStep(merging, 'running', table)).toBe('none');
    table.set(2, 'provisional');
    expect(nextStep(merging, 'running', table)).toBe('seal');
  });

  it('is sealing again after a coordinator died while it sealed', () => {
    expect(nextStep(plain, 'sealing', tableOf('provisional', 'pending'))).toBe('seal');
  });
});

it('a vote never takes a settled shard back', () => {
  expect(afterVote('leased')).toBe('voting');
  expect(afterVote('pending')).toBe('voting');
  expect(afterVote('provisional')).toBe('provisional');
  expect(afterVote('sealed')).toBe('sealed');
});
