import { describe, expect, it } from 'vitest';

import { castVote, leadingDigest, type ShardBallot } from '#actors/quorum/quorum.state.ts';

function ballot(planned: number): ShardBallot {
  return { votes: new Map(), planned };
}

describe('fixed-count quorum', () => {
  it('accepts when enough devices agree', () => {
    const b = ballot(2);
    expect(castVote(b, 'dev-a', 'x', 2)).toEqual({ decision: 'none', leading: 'x' });
    expect(castVote(b, 'dev-b', 'x', 2)).toEqual({ decision: 'accept', leading: 'x' });
  });

  it('accepts a single vote when the quorum is 1', () => {
    expect(castVote(ballot(1), 'dev-a', 'x', 1).decision).toBe('accept');
  });

  it('asks for one more when the planned attempts cannot reach the quorum', () => {
    const b = ballot(2);
    castVote(b, 'dev-a', 'x', 2);
    expect(castVote(b, 'dev-b', 'y', 2).decision).toBe('another');
    expect(b.planned).toBe(3);
    expect(castVote(b, 'dev-c', 'y', 2)).toEqual({ decision: 'accept', leading: 'y' });
  });

  it('asks again for each vote that differs from all others, and never for two at once', () => {
    const b = ballot(3);
    const decisions = ['p', 'q', 'r', 's', 't'].map((digest, i) => castVote(b, `dev-${i}`, digest, 3).decision);
    expect(decisions).toEqual(['none', 'another', 'another', 'another', 'another']);
  });

  it('breaks ties to the lowest digest, whatever the order of votes', () => {
    expect(
      leadingDigest(
        new Map([
          ['dev-a', 'y'],
          ['dev-b', 'x'],
        ]),
      ),
    ).toEqual({ digest: 'x', count: 1 });
    expect(
      leadingDigest(
        new Map([
          ['dev-b', 'x'],
          ['dev-a', 'y'],
        ]),
      ),
    ).toEqual({ digest: 'x', count: 1 });
    expect(leadingDigest(new Map())).toBeNull();
  });
});
