import type { ShardDetail, VoteDetail } from '#actors/contract/live.ts';

import type { CellKind } from '../../charts/cell-kinds.ts';
import type { Proof } from '../../live/shard-inspector.ts';

/** How one vote stands, in a glyph and in words. */
export interface VoteVerdict {
  readonly glyph: CellKind;
  /** Whether it counted for the result. */
  readonly stand: string;
  /** What is known of its signature. `valid` only when this browser checked it. */
  readonly signature: 'recorded' | 'checking' | 'valid' | 'invalid' | 'not in the receipt';
}

/** Somebody else's vote, or the credit that its device has earned, stands behind the result. */
export function isChecked({ quorum, maxError }: Pick<ShardDetail, 'quorum' | 'maxError'>): boolean {
  return maxError !== undefined || quorum > 1;
}

export function verdictOf(vote: VoteDetail, detail: ShardDetail, proof: Proof): VoteVerdict {
  if (vote.state === 'refused') return { glyph: 'failed', stand: 'refused', signature: signatureOf(vote, proof) };
  if (detail.output === null) return { glyph: 'voting', stand: 'awaiting quorum', signature: signatureOf(vote, proof) };
  if (!vote.agrees) return { glyph: 'failed', stand: 'hash disagrees', signature: signatureOf(vote, proof) };
  return {
    glyph: isChecked(detail) ? 'agreed' : 'accepted',
    stand: isChecked(detail) ? 'agrees' : 'nobody checked it',
    signature: signatureOf(vote, proof),
  };
}

function signatureOf(vote: VoteDetail, proof: Proof): VoteVerdict['signature'] {
  if (proof.phase === 'checking') return 'checking';
  if (proof.phase !== 'checked') return 'recorded';
  const sealed = proof.check.votes.find(
    (candidate) => candidate.device === vote.device && candidate.fence.epoch === vote.fence.epoch && candidate.fence.seq === vote.fence.seq,
  );
  // Receipts carry the votes that agreed; one that did not was recorded by the grid and nobody else vouches for it.
  if (!sealed) return vote.agrees && vote.state === 'accepted' ? 'not in the receipt' : 'recorded';
  return sealed.valid ? 'valid' : 'invalid';
}

/** The cell of the whole shard: agreement over which somebody disagreed is shown as such. */
export function glyphOfShard(detail: ShardDetail, kind: CellKind): CellKind {
  const settled = detail.state === 'provisional' || detail.state === 'sealed';
  if (settled && isChecked(detail) && detail.votes.some((vote) => vote.state === 'accepted' && !vote.agrees)) return 'dissent';
  const gaveUp = detail.attempts.some((attempt) => ['expired', 'failed', 'refused'].includes(attempt.state));
  return (detail.state === 'pending' || detail.state === 'leased') && gaveUp ? 'retrying' : kind;
}
