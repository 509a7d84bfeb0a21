import type { Delay } from '#runtime/kernel/delay.ts';
import type { HandlerTable } from '#runtime/kernel/handler-table.ts';
import type { Recorder } from '#runtime/kernel/recorder.ts';
import type { Supervisor } from '#runtime/kernel/supervisor.ts';
import type { Watch } from '#runtime/kernel/watch.ts';

/** What most actors never need. It is made when one does, which keeps the others small. */
export interface Extras {
  name: string | null;
  restarts: number;
  lastError: unknown;
  watchers: Set<Watch> | null;
  supervisor: Supervisor | null;
  /** Somebody else wants the incarnation to end: what it does until then is no failure. */
  ordered: boolean;
  waiters: (() => void)[] | null;
  deadline: Delay | null;
  /** When its supervisor starts it again, by the monotonic clock. */
  restartsAt: number | null;
  /** Set aside by its handlers, the oldest first. */
  stash: { readonly code: number; readonly body: unknown }[] | null;
  snapshot: (() => unknown) | null;
  recorder: Recorder | null;
  /** The handlers without the recorder. */
  plain: { readonly handlers: HandlerTable; readonly receiver: unknown } | null;
  forgetRecords: Delay | null;
}

export function noExtras(): Extras {
  return {
    name: null,
    restarts: 0,
    lastError: undefined,
    watchers: null,
    supervisor: null,
    ordered: false,
    waiters: null,
    deadline: null,
    restartsAt: null,
    stash: null,
    snapshot: null,
    recorder: null,
    plain: null,
    forgetRecords: null,
  };
}
