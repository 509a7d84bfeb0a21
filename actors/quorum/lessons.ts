import type { Lesson } from '#actors/store/store.ts';

import type { BallotVote, Leading, ShardBallot, Verdict } from './quorum.state.ts';

/** What is known of the machines that voted, for telling a bad driver from bad will. */
export interface Machines {
  /** Platform of a device: operating system, processor, graphics. */
  platform(device: string): string;
  /** All devices of a platform that may run the app. */
  ofPlatform(platform: string): readonly string[];
  /** False for devices whose votes do not count any more. */
  counts(device: string): boolean;
}

const NOBODY: readonly Lesson[] = [];

/**
 * What a settled shard teaches about those who voted on it. Peers that agree are a little more credible, those that differ
 * get a strike. When a trusted device has spoken the truth is known: then those that share a wrong answer are expelled, for
 * honest mistakes do not coincide, unless all of them and nobody else run on one platform, which says that its driver or
 * compiler is at fault.
 */
export function lessonsOf(ballot: ShardBallot, verdict: Verdict, machines: Machines): readonly Lesson[] {
  const { leading } = verdict;
  if (verdict.decision !== 'accept' || leading === null) return NOBODY;
  const others = ballot.votes.filter((vote) => !vote.core && machines.counts(vote.device));
  if (verdict.by === 'core') return others.length === 0 ? NOBODY : truth(ballot, leading, others, machines);
  if (ballot.learned || others.length < 2) return NOBODY;
  return others.map((vote) =>
    vote.group === leading.group
      ? { device: vote.device, kind: 'agreed' }
      : { device: vote.device, kind: 'strike', why: `${leading.votes} more credible votes said otherwise` },
  );
}

function truth(ballot: ShardBallot, { group }: Leading, others: readonly BallotVote[], machines: Machines): readonly Lesson[] {
  const lessons: Lesson[] = [];
  for (const vote of others) {
    if (vote.group === group) lessons.push({ device: vote.device, kind: 'audited' });
    else if (!others.some((peer) => peer !== vote && peer.group === vote.group))
      lessons.push({ device: vote.device, kind: 'strike', why: 'a trusted device came to another result' });
  }
  for (const wrong of sharedWrong(group, others)) lessons.push(...expelled(ballot, wrong, machines));
  return lessons;
}

/** Wrong answers that more than one device gave. */
function sharedWrong(right: string, votes: readonly BallotVote[]): BallotVote[][] {
  const groups = new Map<string, BallotVote[]>();
  for (const vote of votes) {
    if (vote.group === right) continue;
    const members = groups.get(vote.group) ?? [];
    members.push(vote);
    groups.set(vote.group, members);
  }
  return [...groups.values()].filter((members) => members.length > 1);
}

function expelled(ballot: ShardBallot, wrong: readonly BallotVote[], machines: Machines): readonly Lesson[] {
  const platforms = new Set(wrong.map((vote) => machines.platform(vote.device)));
  const [platform = ''] = platforms;
  const isOfPlatform = (vote: BallotVote): boolean => machines.platform(vote.device) === platform;
  const fault = platforms.size === 1 && ballot.votes.every((vote) => wrong.includes(vote) || !isOfPlatform(vote));
  if (!fault) {
    const why = `${wrong.length} devices gave the same wrong result; a trusted one disagreed`;
    return wrong.map(({ device }) => ({ device, kind: 'quarantine', why }));
  }
  const why = `probable driver fault: ${platform} gives a result of its own, which a trusted device of another platform does not`;
  return [...new Set([...wrong.map((v) => v.device), ...machines.ofPlatform(platform)])].map((device) => ({
    device,
    kind: 'quarantine',
    why,
  }));
}
