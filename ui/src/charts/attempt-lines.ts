import type { AttemptDetail, ShardDetail, VoteDetail } from '#actors/contract/live.ts';

/** How an attempt looks: counted, at work, given up without blame, or at fault. */
export type AttemptKind = 'good' | 'working' | 'lost' | 'bad';

/** One attempt on the time axis of its shard. `from` and `to` are shares of the axis, 0 to 1. */
export interface AttemptLine {
  readonly id: string;
  readonly device: string;
  readonly deviceName: string;
  readonly kind: AttemptKind;
  readonly label: string;
  readonly from: number;
  readonly to: number;
  readonly milliseconds: number;
}

export interface AttemptChart {
  readonly lines: readonly AttemptLine[];
  readonly startedAt: number;
  /** Null while an attempt is still open: the axis then ends now. */
  readonly endedAt: number | null;
}

const WORDS: Record<string, string> = {
  leased: 'running',
  suspect: 'no sign of life',
  expired: 'lease expired',
  voted: 'voted',
  refused: 'vote refused',
  failed: 'failed',
  released: 'released',
};

function sameFence(a: { epoch: number; seq: number }, b: { epoch: number; seq: number }): boolean {
  return a.epoch === b.epoch && a.seq === b.seq;
}

function judge(attempt: AttemptDetail, vote: VoteDetail | undefined, settled: boolean): { kind: AttemptKind; label: string } {
  const words = WORDS[attempt.state] ?? attempt.state;
  const label = attempt.reason === null ? words : `${words}: ${attempt.reason}`;
  if (attempt.state === 'voted')
    return settled && vote && !vote.agrees ? { kind: 'bad', label: 'hash disagrees' } : { kind: 'good', label };
  if (attempt.state === 'failed' || attempt.state === 'refused') return { kind: 'bad', label };
  return { kind: attempt.state === 'leased' && attempt.endedAt === null ? 'working' : 'lost', label };
}

/** Attempts of a shard, first lease first; null when there were none. */
export function attemptChart(detail: ShardDetail, now: number): AttemptChart | null {
  const attempts = [...detail.attempts].sort((a, b) => a.leasedAt - b.leasedAt || a.fence.seq - b.fence.seq);
  const [first] = attempts;
  if (first === undefined) return null;
  const isOpen = (attempt: AttemptDetail): boolean => attempt.endedAt === null;
  const startedAt = first.leasedAt;
  const lastEnd = Math.max(...attempts.map((attempt) => attempt.endedAt ?? now), startedAt);
  const span = Math.max(1, lastEnd - startedAt);
  const lines = attempts.map((attempt): AttemptLine => {
    const end = Math.max(attempt.leasedAt, attempt.endedAt ?? now);
    const vote = detail.votes.find((candidate) => sameFence(candidate.fence, attempt.fence));
    return {
      id: `${attempt.fence.epoch}.${attempt.fence.seq}`,
      device: attempt.device,
      deviceName: attempt.deviceName,
      ...judge(attempt, vote, detail.output !== null),
      from: (attempt.leasedAt - startedAt) / span,
      to: (end - startedAt) / span,
      milliseconds: end - attempt.leasedAt,
    };
  });
  return { lines, startedAt, endedAt: attempts.some(isOpen) ? null : lastEnd };
}
