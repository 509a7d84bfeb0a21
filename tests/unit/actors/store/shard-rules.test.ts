import { array, assert, constant, constantFrom, integer, oneof, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { partitionOf } from '#actors/store/partition.ts';
import { applyChange, type AttemptUnderChange, type Scene, type ShardUnderChange } from '#actors/store/shard-rules.ts';
import { newStanding } from '#actors/store/standing-rules.ts';
import type { Change, VoteRow } from '#actors/store/store.ts';

const JOB = 'c0ffee00-0000-4000-8000-000000000001';
const QUORUM = 3;
const FIRST = { epoch: 1, seq: 1 };

/** One shard of quorum 3 whose attempts are leased to devices a, b, c …, in memory. */
class OneShard implements Scene {
  readonly only: ShardUnderChange = {
    id: 1,
    job: JOB,
    index: 0,
    state: 'pending',
    wanted: QUORUM,
    failures: 0,
    output: null,
    coreOnly: false,
  };
  readonly attempts: AttemptUnderChange[] = [];
  readonly votes: VoteRow[] = [];

  lease(): void {
    if (this.only.wanted === 0 || this.only.state === 'provisional') return;
    this.only.wanted -= 1;
    if (this.only.state === 'pending') this.only.state = 'leased';
    const seq = this.attempts.length + 1;
    this.attempts.push({ fence: { epoch: 1, seq }, shardId: 1, device: `device ${seq}`, state: 'leased', endedAt: null, reason: null });
  }

  shard = (id: number) => (id === 1 ? this.only : undefined);
  attempt = ({ seq }: { seq: number }) => this.attempts[seq - 1];
  voters = () => new Set(this.votes.filter(({ refusal }) => refusal === null).map(({ device }) => device));
  touch = () => undefined;
  standing = (device: string, app: string, at: number) => newStanding(device, app, at);
  audit = () => undefined;
  record = (vote: VoteRow) => void this.votes.push(vote);
}

function vote(seq: number, refusal: string | null = null): VoteRow {
  const output = { sha256: 'f'.repeat(64), size: 1 };
  return {
    fence: { epoch: 1, seq },
    job: JOB,
    shardId: 1,
    index: 0,
    device: `device ${seq}`,
    output,
    bytes: null,
    signature: '',
    refusal,
    at: 1,
  };
}

const base = { partition: partitionOf(JOB), epoch: 1 };
const seq = integer({ min: 1, max: 6 });
const change = oneof(
  record({ seq, decision: constantFrom('none', 'none', 'another', 'core', 'accept') }).map((x): Change => ({
    ...base,
    type: 'vote',
    vote: vote(x.seq),
    decision: x.decision,
  })),
  seq.map((n): Change => ({ ...base, type: 'refuse', vote: vote(n, 'odd') })),
  constantFrom('audit', 'dispute', null).map((core): Change => ({ ...base, type: 'reopen', job: JOB, shardId: 1, core, at: 3 })),

  record({ seq, state: constantFrom('suspect', 'expired', 'failed', 'released') }).map((x): Change => ({
    ...base,
    type: 'end',
    fence: { epoch: 1, seq: x.seq },
    state: x.state,
    reason: 'because',
    at: 2,
  })),
);
const history = array(oneof(change, constant('lease' as const)), { maxLength: 60 });

describe('the rules of a shard', () => {
  it('keep enough attempts coming while it is open, and none afterwards, whatever happens', () => {
    assert(
      property(history, (steps) => {
        const scene = new OneShard();
        for (const step of steps) {
          // Of a shard that was taken back the decisions keep count, not the quorum.
          if (step !== 'lease' && step.type === 'reopen') continue;
          if (step === 'lease') scene.lease();
          else applyChange(scene, step);
          const { state, wanted } = scene.only;
          const leased = scene.attempts.filter((attempt) => attempt.state === 'leased').length;
          const counted = scene.votes.filter(({ refusal }) => refusal === null).length;
          expect(counted).toBe(scene.attempts.filter((attempt) => attempt.state === 'voted').length);
          if (state === 'provisional') expect(wanted).toBe(0);
          else expect(wanted + leased + counted).toBeGreaterThanOrEqual(QUORUM);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('change nothing the second time, and a change that is not applied changes nothing the first time', () => {
    assert(
      property(history, change, (steps, last) => {
        const scene = new OneShard();
        for (const step of steps) {
          if (step === 'lease') scene.lease();
          else applyChange(scene, step);
        }
        const look = () => structuredClone([scene.only, scene.attempts, scene.votes.filter(({ refusal }) => refusal === null)]);
        const before = look();
        const first = applyChange(scene, last);
        const after = look();
        if (!first.applied) expect(after).toEqual(before);
        const second = applyChange(scene, last);
        expect(look()).toEqual(after);
        if (last.type !== 'end') expect(second.applied).toBe(first.applied);
        else expect(second.applied).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it('never bring an attempt back, nor a shard', () => {
    const rank = { leased: 0, suspect: 1, expired: 2, voted: 3, refused: 3, failed: 3, released: 3 };
    const shardRank = { blocked: 0, pending: 0, leased: 1, voting: 2, provisional: 3, sealed: 4, failed: 4 };
    assert(
      property(history, (steps) => {
        const scene = new OneShard();
        for (const step of steps) {
          const before = scene.attempts.map(({ state }) => rank[state]);
          const shardBefore = shardRank[scene.only.state];
          if (step === 'lease') scene.lease();
          else applyChange(scene, step);
          for (const [n, earlier] of before.entries()) expect(rank[scene.attempts[n]?.state ?? 'leased']).toBeGreaterThanOrEqual(earlier);
          // The one way back: what was accepted is taken back.
          const takenBack = step !== 'lease' && step.type === 'reopen' && shardBefore === shardRank.provisional;
          expect(shardRank[scene.only.state]).toBeGreaterThanOrEqual(takenBack ? shardRank.voting : shardBefore);
        }
      }),
    );
  });

  it('take a vote of a blocked shard from nobody', () => {
    const scene = new OneShard();
    scene.lease();
    scene.only.state = 'blocked';
    expect(applyChange(scene, { ...base, type: 'vote', vote: vote(1), decision: 'accept' })).toEqual({
      applied: false,
      shardState: 'blocked',
      failures: 0,
    });
    expect(scene.attempt(FIRST)?.state).toBe('leased');
  });
});
