import { describe, expect, it } from 'vitest';

import { lessonsOf, type Machines } from '#actors/quorum/lessons.ts';
import type { BallotVote, Leading, ShardBallot, Verdict } from '#actors/quorum/quorum.state.ts';

function vote(device: string, group: string, core = false): BallotVote {
  return { device, principal: device, core, group, output: { sha256: group, size: 1 } };
}

function ballot(...votes: BallotVote[]): ShardBallot {
  return { votes, planned: votes.length, learned: false };
}

function accepted(group: string, by: Verdict['by']): Verdict {
  const leading: Leading = { group, output: { sha256: group, size: 1 }, belief: 1, votes: 2 };
  return { decision: 'accept', leading, by };
}

/** `mac…` devices are of another platform than the others. */
const machines: Machines = {
  platform: (device) => (device.startsWith('mac') ? 'darwin-arm64' : 'linux-x64'),
  ofPlatform: (platform) => (platform === 'darwin-arm64' ? ['mac-1', 'mac-2', 'mac-3'] : ['a', 'b', 'c']),
  counts: (device) => device !== 'expelled',
};
const kinds = (lessons: ReturnType<typeof lessonsOf>) => lessons.map(({ device, kind }) => `${device} ${kind}`);

describe('what peers say about each other', () => {
  it('is agreement, and a strike for whoever differs', () => {
    const lessons = lessonsOf(ballot(vote('a', 'x'), vote('b', 'x'), vote('c', 'y')), accepted('x', 'belief'), machines);
    expect(kinds(lessons)).toEqual(['a agreed', 'b agreed', 'c strike']);
  });

  it('is nothing when one is alone, nothing was decided, or it is on record', () => {
    expect(lessonsOf(ballot(vote('a', 'x')), accepted('x', 'belief'), machines)).toEqual([]);
    const open: Verdict = { ...accepted('x', 'belief'), decision: 'another' };
    expect(lessonsOf(ballot(vote('a', 'x'), vote('b', 'y')), open, machines)).toEqual([]);
    const known = { ...ballot(vote('a', 'x'), vote('b', 'x')), learned: true };
    expect(lessonsOf(known, accepted('x', 'belief'), machines)).toEqual([]);
  });

  it('does not reach who is expelled', () => {
    const lessons = lessonsOf(ballot(vote('a', 'x'), vote('b', 'x'), vote('expelled', 'y')), accepted('x', 'belief'), machines);
    expect(kinds(lessons)).toEqual(['a agreed', 'b agreed']);
  });
});

describe('what a trusted device says', () => {
  it('is worth more than agreement, and a strike for one that is wrong alone', () => {
    const lessons = lessonsOf(ballot(vote('a', 'x'), vote('b', 'y'), vote('core', 'x', true)), accepted('x', 'core'), machines);
    expect(kinds(lessons)).toEqual(['a audited', 'b strike']);
  });

  it('is learned although peers have spoken before', () => {
    const known = { ...ballot(vote('a', 'y'), vote('core', 'x', true)), learned: true };
    expect(kinds(lessonsOf(known, accepted('x', 'core'), machines))).toEqual(['a strike']);
  });

  it('expels those that share a wrong answer', () => {
    const lessons = lessonsOf(ballot(vote('a', 'y'), vote('b', 'y'), vote('core', 'x', true)), accepted('x', 'core'), machines);
    expect(lessons).toEqual(
      ['a', 'b'].map((device) => ({ device, kind: 'quarantine', why: '2 devices gave the same wrong result; a trusted one disagreed' })),
    );
  });

  it('blames the driver when one platform is wrong as a whole and nobody else', () => {
    const lessons = lessonsOf(ballot(vote('mac-1', 'y'), vote('mac-2', 'y'), vote('core', 'x', true)), accepted('x', 'core'), machines);
    expect(kinds(lessons)).toEqual(['mac-1 quarantine', 'mac-2 quarantine', 'mac-3 quarantine']);
    expect(lessons[0]).toMatchObject({ why: expect.stringContaining('probable driver fault: darwin-arm64') });
  });

  it('does not blame the driver when a device of the platform was right, or one of another was wrong', () => {
    const right = ballot(vote('mac-1', 'y'), vote('mac-2', 'y'), vote('mac-3', 'x'), vote('core', 'x', true));
    expect(kinds(lessonsOf(right, accepted('x', 'core'), machines))).toEqual(['mac-3 audited', 'mac-1 quarantine', 'mac-2 quarantine']);
    const mixed = ballot(vote('mac-1', 'y'), vote('a', 'y'), vote('core', 'x', true));
    expect(kinds(lessonsOf(mixed, accepted('x', 'core'), machines))).toEqual(['mac-1 quarantine', 'a quarantine']);
  });
});
