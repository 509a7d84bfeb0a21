import { describe, expect, it } from 'vitest';

import {
  judge,
  leadingByCount,
  MOST_EXECUTIONS,
  type BallotVote,
  type Fleet,
  type Rule,
  type ShardBallot,
} from '#actors/quorum/quorum.state.ts';

type Said = readonly [device: string, says: string, options?: { principal?: string; core?: boolean }];

function ballot(planned: number, said: readonly Said[] = []): ShardBallot {
  const votes = said.map(([device, says, { principal = device, core = false } = {}]): BallotVote => ({
    device,
    principal,
    core,
    group: says,
    output: { sha256: says, size: 1 },
  }));
  return { votes, planned, learned: false };
}

/** Devices by their credit; null is quarantine. `core` are trusted ones. */
function fleet(credit: Record<string, number | null>, core: readonly string[] = []): Fleet {
  const may = Object.keys(credit).filter((device) => credit[device] !== null && !core.includes(device));
  return {
    credibility: (device) => credit[device] ?? null,
    hasVoiceBesides: (principals) => may.some((device) => !principals.has(device)),
    hasDeviceBesides: (devices) => [...may, ...core].some((device) => !devices.has(device)),
    hasCoreBesides: (devices) => core.some((device) => !devices.has(device)),
  };
}

const NEW = 0.8;
const many = fleet(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`d${n}`, NEW])));
const two: Rule = { type: 'quorum', votes: 2 };
const target: Rule = { type: 'belief', maxError: 1e-3 };
const agreeing = (count: number, says = 'x'): Said[] => Array.from({ length: count }, (_, n): Said => [`d${n}`, says]);

describe('a fixed count of votes', () => {
  it('accepts when enough devices agree', () => {
    expect(judge(ballot(2, agreeing(1)), two, many).decision).toBe('none');
    expect(judge(ballot(2, agreeing(2)), two, many)).toEqual({
      decision: 'accept',
      by: 'quorum',
      leading: { group: 'x', output: { sha256: 'x', size: 1 }, belief: null, votes: 2 },
    });
    expect(judge(ballot(1, agreeing(1)), { type: 'quorum', votes: 1 }, many).decision).toBe('accept');
  });

  it('asks for one more when the planned attempts cannot reach it', () => {
    expect(
      judge(
        ballot(2, [
          ['d0', 'x'],
          ['d1', 'y'],
        ]),
        two,
        many,
      ).decision,
    ).toBe('another');
    expect(
      judge(
        ballot(3, [
          ['d0', 'x'],
          ['d1', 'y'],
        ]),
        two,
        many,
      ).decision,
    ).toBe('none');
    expect(
      judge(
        ballot(3, [
          ['d0', 'x'],
          ['d1', 'y'],
          ['d2', 'y'],
        ]),
        two,
        many,
      ),
    ).toMatchObject({ decision: 'accept', leading: { group: 'y' } });
  });

  it('is not replaced by a trusted device while others could vote', () => {
    const alone = fleet({ core: 1 }, ['core']);
    const company = fleet({ core: 1, other: NEW }, ['core']);
    const said: Said[] = [['core', 'x', { core: true }]];
    expect(judge(ballot(2, said), two, company).decision).toBe('none');
    expect(judge(ballot(2, said), two, alone)).toMatchObject({ decision: 'accept', by: 'core' });
    expect(judge(ballot(2, [['plain', 'x']]), two, alone).decision).toBe('none');
  });

  it('breaks ties to the lowest digest, whatever the order of votes', () => {
    expect(leadingByCount([{ group: 'y' }, { group: 'x' }])).toEqual({ group: 'x', votes: 1 });
    expect(leadingByCount([{ group: 'x' }, { group: 'y' }])).toEqual({ group: 'x', votes: 1 });
    expect(leadingByCount([])).toBeNull();
  });
});

describe('belief', () => {
  it('takes five new devices that agree, and not four', () => {
    expect(judge(ballot(4, agreeing(4)), target, many)).toMatchObject({ decision: 'another', by: 'belief' });
    const verdict = judge(ballot(5, agreeing(5)), target, many);
    expect(verdict).toMatchObject({ decision: 'accept', by: 'belief' });
    // (0.8^5) / (0.8^5 + 0.2^5)
    expect(verdict.leading?.belief).toBeCloseTo(1024 / 1025, 12);
  });

  it('takes one device that has earned it', () => {
    const earned = fleet({ d0: 0.9991, d1: NEW });
    expect(judge(ballot(1, agreeing(1)), target, earned).decision).toBe('accept');
    expect(judge(ballot(1, [['d1', 'x']]), target, earned).decision).toBe('another');
  });

  it('waits for attempts that are under way', () => {
    expect(judge(ballot(2, agreeing(1)), target, many).decision).toBe('none');
  });

  it('hears devices of one principal as one voice', () => {
    const said = agreeing(5).map(([device, says]): Said => [device, says, { principal: 'one owner' }]);
    const verdict = judge(ballot(5, said), target, many);
    expect(verdict.decision).toBe('another');
    expect(verdict.leading?.belief).toBeCloseTo(0.8);
  });

  it('does not hear a device in quarantine', () => {
    const credit = { d0: null, d1: null, d2: null, d3: NEW, d4: NEW, d5: NEW };
    expect(judge(ballot(5, agreeing(5)), target, fleet(credit)).leading).toMatchObject({ votes: 2 });
    expect(judge(ballot(1, agreeing(1)), target, fleet(credit))).toMatchObject({ decision: 'another', leading: null });
  });

  it('sends a shard to a trusted device at once when no voice is left, and after nine executions', () => {
    const small = fleet({ d0: NEW, d1: NEW }, ['core']);
    expect(judge(ballot(2, agreeing(2)), target, small).decision).toBe('core');
    const disagreeing = Array.from({ length: MOST_EXECUTIONS }, (_, n): Said => [`d${n}`, `only ${n}`]);
    const withCore = fleet(Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`d${n}`, NEW])), ['core']);
    expect(judge(ballot(MOST_EXECUTIONS, disagreeing), target, withCore).decision).toBe('core');
    expect(judge(ballot(MOST_EXECUTIONS, disagreeing), target, many).decision).toBe('unreachable');
    expect(judge(ballot(2, agreeing(2)), target, fleet({ d0: NEW, d1: NEW })).decision).toBe('unreachable');
  });

  it('takes the word of a trusted device against any number of credible ones', () => {
    const credit = { d0: 0.9999, d1: 0.9999, d2: 0.9999 };
    const verdict = judge(ballot(4, [...agreeing(3, 'lie'), ['core', 'truth', { core: true }]]), target, fleet(credit, ['core']));
    expect(verdict).toMatchObject({ decision: 'accept', by: 'core', leading: { group: 'truth', belief: 1 } });
  });

  it('asks a third trusted device when two differ', () => {
    const said: Said[] = [
      ['c0', 'x', { core: true }],
      ['c1', 'y', { core: true }],
    ];
    expect(judge(ballot(2, said), target, fleet({}, ['c0', 'c1', 'c2'])).decision).toBe('core');
    expect(judge(ballot(2, said), target, fleet({}, ['c0', 'c1'])).decision).toBe('unreachable');
    const third: Said = ['c2', 'y', { core: true }];
    expect(judge(ballot(3, [...said, third]), target, fleet({}, ['c0', 'c1', 'c2']))).toMatchObject({
      decision: 'accept',
      leading: { group: 'y' },
    });
  });
});
