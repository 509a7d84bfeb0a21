import { describe, expect, it } from 'vitest';

import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';
import type { AttemptDetail, ShardDetail } from '#actors/contract/live.ts';
import { detailOf, inventDevice, inventJob } from '#tests/support/invented-jobs.ts';

import { attemptChart } from '../../../../ui/src/charts/attempt-lines.ts';
import { segmentsOf, segmentsText, settledOf } from '../../../../ui/src/charts/job-segments.ts';
import { nextShardIn } from '../../../../ui/src/charts/next-shard.ts';

const counts = { pending: 3, leased: 2, voting: 1, provisional: 4, sealed: 5, failed: 0, blocked: 1 };

describe('segmentsOf', () => {
  it('orders settled before untouched and leaves empty ones out', () => {
    expect(segmentsOf(counts, true)).toEqual([
      { kind: 'agreed', shards: 9 },
      { kind: 'voting', shards: 1 },
      { kind: 'running', shards: 2 },
      { kind: 'waiting', shards: 3 },
      { kind: 'blocked', shards: 1 },
    ]);
    expect(settledOf(counts)).toBe(9);
    expect(segmentsText(segmentsOf(counts, true))).toBe('9 agreed, 1 awaiting quorum, 2 running, 3 waiting, 1 blocked');
  });

  it('does not call unverified results agreed', () => {
    expect(segmentsOf(counts, false)[0]).toEqual({ kind: 'accepted', shards: 9 });
  });
});

describe('nextShardIn', () => {
  const states = Uint8Array.from(['pending', 'failed', 'pending', 'failed'] satisfies ShardState[], (state) => SHARD_STATES.indexOf(state));
  it.each([
    [null, 1],
    [1, 3],
    [3, 1],
    [0, 1],
  ])('after %s comes %i', (from, next) => {
    expect(nextShardIn(states, 'failed', from)).toBe(next);
  });
  it('answers null when there is none', () => {
    expect(nextShardIn(states, 'sealed', 2)).toBeNull();
  });
});

describe('attemptChart', () => {
  const device = inventDevice(0).summary;
  const job = inventJob({
    name: 'charted',
    shards: 1,
    devices: [inventDevice(0), inventDevice(1), inventDevice(2)],
    shardState: () => 'sealed',
    dissent: [0],
  });
  const detail = detailOf(job, 0);
  const attempt = (over: Partial<AttemptDetail>): AttemptDetail => ({
    fence: { epoch: 1, seq: 1 },
    device: device.id,
    deviceName: 'm',
    state: 'leased',
    leasedAt: 1_000,
    endedAt: null,
    reason: null,
    ...over,
  });
  const withAttempts = (...attempts: AttemptDetail[]): ShardDetail => ({ ...detail, votes: [], attempts });

  it('judges attempts by how they ended and what their votes said', () => {
    const chart = attemptChart(detail, 0);
    expect(chart?.lines.map((line) => `${line.kind}: ${line.label}`).sort()).toEqual([
      'bad: hash disagrees',
      'good: voted',
      'good: voted',
      'lost: lease expired: no sign of life for 10 s',
    ]);
    expect(chart?.endedAt).not.toBeNull();
  });

  it('puts the attempts on one axis from the first lease to the last end', () => {
    const chart = attemptChart(
      withAttempts(
        attempt({ fence: { epoch: 1, seq: 2 }, leasedAt: 1_500, endedAt: 3_000, state: 'voted' }),
        attempt({ endedAt: 2_000, state: 'failed', reason: 'exit code 3' }),
      ),
      9_000,
    );
    expect(chart).toMatchObject({ startedAt: 1_000, endedAt: 3_000 });
    expect(chart?.lines).toMatchObject([
      { kind: 'bad', label: 'failed: exit code 3', from: 0, to: 0.5, milliseconds: 1_000 },
      { kind: 'good', from: 0.25, to: 1, milliseconds: 1_500 },
    ]);
  });

  it('runs to now while an attempt is open, even when the clock of the grid is ahead', () => {
    expect(attemptChart(withAttempts(attempt({})), 5_000)).toMatchObject({
      endedAt: null,
      lines: [{ kind: 'working', from: 0, to: 1, milliseconds: 4_000 }],
    });
    expect(attemptChart(withAttempts(attempt({})), 500)).toMatchObject({ lines: [{ milliseconds: 0, from: 0, to: 0 }] });
  });

  it('answers null without attempts', () => {
    expect(attemptChart(withAttempts(), 0)).toBeNull();
  });
});
