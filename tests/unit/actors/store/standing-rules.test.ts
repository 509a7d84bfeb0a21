import { describe, expect, it } from 'vitest';

import { learn, newStanding } from '#actors/store/standing-rules.ts';
import type { Lesson } from '#actors/store/store.ts';

function after(...kinds: readonly Lesson['kind'][]) {
  const standing = newStanding('d', 'app', 1);
  for (const kind of kinds)
    learn(standing, kind === 'strike' || kind === 'quarantine' ? { device: 'd', kind, why: 'because' } : { device: 'd', kind }, 2);
  return standing;
}
const times = (count: number, kind: Lesson['kind']): Lesson['kind'][] => Array.from({ length: count }, () => kind);
const credibility = ({ a, b }: { a: number; b: number }) => a / (a + b);

describe('a standing', () => {
  it('begins at four fifths', () => {
    expect(credibility(newStanding('d', 'app', 1))).toBeCloseTo(0.8);
  });

  it('reaches 0.999 with 250 agreements or 200 audits, and not with one less', () => {
    expect(credibility(after(...times(249, 'agreed')))).toBeGreaterThan(0.999 - 1e-9);
    expect(credibility(after(...times(248, 'agreed')))).toBeLessThan(0.999);
    expect(credibility(after(...times(199, 'audited')))).toBeGreaterThan(0.999 - 1e-9);
    expect(credibility(after(...times(198, 'audited')))).toBeLessThan(0.999);
  });

  it('is thrown back by a strike, further with each', () => {
    const once = after(...times(100, 'voted'), ...times(100, 'agreed'), 'strike');
    expect(once).toMatchObject({ a: 0.8, b: 1.2, strikes: 1, quarantine: null, results: 100, updatedAt: 2 });
    expect(after(...times(100, 'voted'), 'strike', 'strike')).toMatchObject({ a: 0.8, b: 2.2, strikes: 2, quarantine: null });
  });

  it('ends in quarantine with three strikes among fewer than 60 results', () => {
    expect(after(...times(59, 'voted'), ...times(3, 'strike')).quarantine).toBe('3 of 59 results were wrong; the last: because');
    expect(after(...times(60, 'voted'), ...times(3, 'strike')).quarantine).toBeNull();
    expect(after('voted', 'strike', 'strike').quarantine).toBeNull();
  });

  it('keeps the first reason of its quarantine', () => {
    expect(after('voted', 'quarantine', ...times(3, 'strike')).quarantine).toBe('because');
  });
});
