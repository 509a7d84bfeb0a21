import type { AnyChildSpec } from '#runtime/kernel/actor.ts';
import type { Cell } from '#runtime/kernel/cell.ts';
import type { CrashReport } from '#runtime/kernel/crash-report.ts';
import type { DeadLetters } from '#runtime/kernel/dead-letters.ts';
import type { Dispatcher } from '#runtime/kernel/dispatcher.ts';
import type { Host } from '#runtime/kernel/host.ts';
import type { Tracing } from '#runtime/kernel/tracing.ts';
import type { TimerWheel } from '#runtime/kernel/timer-wheel.ts';

/** What all actors of one system share. */
export interface Kernel {
  readonly host: Host;
  readonly dispatcher: Dispatcher;
  readonly wheel: TimerWheel;
  readonly deadLetters: DeadLetters;
  /** Counts of the actors that have ended, and of the messages that no actor took. */
  readonly retired: { admitted: number; handled: number; refused: number };
  /** The message that the last turn of a single one handled, if it did. */
  readonly latest: { code: number };
  readonly tracing: Tracing | null;
  /** Makes the cell of a child. */
  hatch(parent: Cell, spec: AnyChildSpec): Cell;
  report(crash: CrashReport): void;
  /** The root's own restart limit was reached: there is no supervisor left to turn to. */
  giveUp(error: unknown): void;
}
