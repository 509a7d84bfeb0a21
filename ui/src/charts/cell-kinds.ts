import { SHARD_STATES, type ShardState } from '#actors/contract/job-states.ts';

/**
 * Everything is a cell: its fill says the state, its pattern says why, and colour never speaks alone.
 *
 * solid verdigris = agreed · solid grey = accepted, but nobody checked (quorum 1) · outline = awaiting quorum ·
 * copper in the lower half = running (nobody reports how far) · hatch = retrying · split triangle = agreed with dissent ·
 * cross = failed · hollow hairline = blocked or away · empty = waiting
 */
export const CELL_KINDS = ['agreed', 'accepted', 'voting', 'running', 'retrying', 'dissent', 'failed', 'blocked', 'waiting'] as const;
export type CellKind = (typeof CELL_KINDS)[number];

export const CELL_LABELS: Record<CellKind, string> = {
  agreed: 'agreed',
  accepted: 'accepted, unverified',
  voting: 'awaiting quorum',
  running: 'running',
  retrying: 'retrying',
  dissent: 'agreed with dissent',
  failed: 'failed',
  blocked: 'blocked',
  waiting: 'waiting',
};

/** How a shard in this state looks. `verified` is false for jobs of quorum 1, whose results must not wear the colour of trust. */
export function kindOfState(state: ShardState, verified: boolean): CellKind {
  switch (state) {
    case 'pending':
      return 'waiting';
    case 'leased':
      return 'running';
    case 'voting':
      return 'voting';
    case 'provisional':
    case 'sealed':
      return verified ? 'agreed' : 'accepted';
    case 'failed':
      return 'failed';
    case 'blocked':
      return 'blocked';
  }
}

/** State of a shard out of the live feed's byte; undefined for a byte that means nothing. */
export function stateOfByte(byte: number | undefined): ShardState | undefined {
  return byte === undefined ? undefined : SHARD_STATES[byte];
}
