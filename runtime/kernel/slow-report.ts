import type { Cell } from '#runtime/kernel/cell.ts';
import type { Activity } from '#runtime/kernel/crash-report.ts';
import { NONE } from '#runtime/kernel/mailbox.ts';

/** An actor whose code held the thread for longer than 50 ms: nothing else ran meanwhile, no other actor, socket or timer. */
export interface SlowReport {
  readonly path: string;
  readonly protocol: string;
  readonly activity: Activity;
  /** Which message it was. */
  readonly message?: string;
  readonly ms: number;
  /**
   * How many messages were handled in that time, the last one by this actor. Above 1 any of them may be the slow one: messages are timed
   * one by one only while handlers are slow. For the next 256 they are, so that a second time names the culprit.
   */
  readonly among: number;
}

export function slowReportOf(cell: Cell, among: number, ms: number): SlowReport {
  const { latest } = cell.kernel;
  // In hand still, when the handler was slow to its first `await`.
  const message = among > 1 ? undefined : (cell.inHand ?? (latest.code === NONE ? undefined : cell.nameOf(latest.code)));
  return {
    path: cell.path,
    protocol: cell.spec.actor.protocol.name,
    activity: among > 1 || message !== undefined ? 'message' : (cell.life?.activity ?? 'cleanup'),
    ...(message === undefined ? {} : { message }),
    ms,
    among,
  };
}
