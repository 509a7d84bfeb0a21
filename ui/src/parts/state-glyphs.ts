import type { DeviceState, JobState } from '#actors/contract/job-states.ts';

import type { CellKind } from '../charts/cell-kinds.ts';

/** What Cell.svelte draws: `idle` is a machine with nothing to do, `draining` one that takes no more. */
export type GlyphKind = CellKind | 'idle' | 'draining';

export function glyphOfJob(state: JobState, verified: boolean): GlyphKind {
  switch (state) {
    case 'queued':
      return 'waiting';
    case 'running':
      return 'running';
    case 'paused':
      return 'retrying';
    case 'sealing':
      return 'voting';
    case 'done':
      return verified ? 'agreed' : 'accepted';
    case 'failed':
      return 'failed';
    case 'cancelled':
      return 'blocked';
  }
}

/** A device that works looks unlike one that waits, and both unlike one that is away. */
export function glyphOfDevice(state: DeviceState, running: number): GlyphKind {
  switch (state) {
    case 'present':
      return running > 0 ? 'agreed' : 'idle';
    case 'draining':
      return 'draining';
    case 'revoked':
      return 'failed';
    case 'enrolled':
      return 'waiting';
    case 'absent':
      return 'blocked';
  }
}

/** What people call the state: `present` says too little. */
export function deviceWord(state: DeviceState, running: number, drained = false): string {
  if (drained) return 'drained';
  if (state === 'present') return running > 0 ? 'busy' : 'idle';
  return state === 'enrolled' ? 'never seen' : state;
}
