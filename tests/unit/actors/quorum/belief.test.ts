import { array, assert, constantFrom, double, property, record, shuffledSubarray } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { mostBelieved, type Opinion } from '#actors/quorum/belief.ts';
import { whyUnreachable } from '#actors/quorum/unreachable.ts';

const voice = (group: string, p: number, principal: string): Opinion => ({ group, p, principal });
const opinion = record({
  group: constantFrom('a', 'b', 'c'),
  principal: constantFrom('ann', 'ben', 'cid', 'dan', 'eve'),
  p: double({ min: 0.05, max: 0.999, noNaN: true }),
});

/** The formula of the facts, as it stands there, without the one voice of a principal. */
function slowly(opinions: readonly Opinion[]): Map<string, number> {
  const groups = [...new Set(opinions.map((o) => o.group))];
  const likelihood = (group: string): number => opinions.reduce((l, o) => l * (o.group === group ? o.p : 1 - o.p), 1);
  const nobody = opinions.reduce((l, o) => l * (1 - o.p), 1);
  const sum = nobody + groups.reduce((s, group) => s + likelihood(group), 0);
  return new Map(groups.map((group) => [group, likelihood(group) / sum]));
}

describe('belief in a result', () => {
  it('is nothing without a vote, and the voter himself with one', () => {
    expect(mostBelieved([])).toBeNull();
    expect(mostBelieved([voice('a', 0.7, 'ann')])).toEqual({ group: 'a', belief: 0.7 });
  });

  it('is what the formula says for different principals', () => {
    assert(
      property(array(opinion, { minLength: 1, maxLength: 9 }), (some) => {
        const opinions = some.map((o, n) => ({ ...o, principal: `p${n}` }));
        const best = mostBelieved(opinions);
        const all = slowly(opinions);
        expect(best?.belief).toBeCloseTo(Math.max(...all.values()), 9);
      }),
    );
  });

  it('does not depend on the order of votes, nor on more votes of one principal for the same', () => {
    assert(
      property(array(opinion, { minLength: 2, maxLength: 9 }), (opinions) => {
        const best = mostBelieved(opinions);
        const again = mostBelieved([...opinions.toReversed(), ...opinions]);
        expect(again?.belief).toBeCloseTo(best?.belief ?? Number.NaN, 9);
      }),
    );
  });

  it('falls when somebody differs', () => {
    const sure = [voice('a', 0.9, 'ann'), voice('a', 0.9, 'ben')];
    const before = mostBelieved(sure)?.belief ?? 0;
    assert(
      property(shuffledSubarray([0.3, 0.5, 0.8], { minLength: 1 }), (credits) => {
        const others = credits.map((p, n) => voice('b', p, `other ${n}`));
        const after = mostBelieved([...sure, ...others]);
        if (after?.group === 'a') expect(after.belief).toBeLessThan(before);
      }),
    );
  });

  it('breaks ties to the lowest name', () => {
    expect(mostBelieved([voice('b', 0.8, 'ann'), voice('a', 0.8, 'ben')])?.group).toBe('a');
  });
});

describe('why a target cannot be reached', () => {
  it('names the best belief and what would reach it', () => {
    const three = ['ann', 'ben', 'cid'].map((name) => voice('a', 0.8, name));
    expect(whyUnreachable(three, 1e-3)).toBe(
      'target unreachable: the best belief is 0.985, by 3 of 3 votes; the job asks for 0.999. 2 more devices of other owners, or a trusted device would reach it',
    );
  });

  it('does not promise that more of the same would help after nine executions', () => {
    const nine = Array.from({ length: 9 }, (_, n) => voice(`only ${n}`, 0.8, `p${n}`));
    expect(whyUnreachable(nine, 1e-3)).toContain('9 executions found no consensus: a trusted device would decide');
  });

  it('says when no vote counts', () => {
    expect(whyUnreachable([], 1e-3)).toContain('no vote counts');
  });
});
