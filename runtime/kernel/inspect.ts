import type { Cell, Phase } from '#runtime/kernel/cell.ts';
import { Delay } from '#runtime/kernel/delay.ts';
import { ActorClosed, AskTimeout } from '#runtime/kernel/errors.ts';
import type { RecordedMessage } from '#runtime/kernel/recorder.ts';

/** What an actor looks like from outside, and its children in start order. */
export interface ActorReport {
  readonly path: string;
  readonly protocol: string;
  /** Its phase; a running actor is `busy` while a handler or callback has not settled, else `idle`. */
  readonly state: Exclude<Phase, 'running'> | 'idle' | 'busy';
  /** Which message is in hand. */
  readonly inHand?: string;
  readonly mailbox: { readonly depth: number; readonly capacity: number };
  readonly handled: number;
  readonly restarts: number;
  /** How long its supervisor still waits before it starts it again. */
  readonly restartsInMs?: number;
  /** Of its last crash. */
  readonly lastError?: string;
  readonly children: readonly ActorReport[];
}

export function inspectActor(cell: Cell): ActorReport {
  const { inHand, lastError } = cell;
  return {
    path: cell.path,
    protocol: cell.spec.actor.protocol.name,
    state: cell.phase === 'running' ? (cell.isBusy ? 'busy' : 'idle') : cell.phase,
    ...(inHand === undefined ? {} : { inHand }),
    mailbox: { depth: cell.waiting, capacity: cell.capacity },
    handled: cell.handled,
    restarts: cell.restarts,
    ...(cell.restartsAt === null ? {} : { restartsInMs: Math.max(cell.restartsAt - cell.kernel.host.clock.now(), 0) }),
    ...(lastError === undefined ? {} : { lastError: described(lastError) }),
    children: cell.hasChildren ? Array.from(cell.children.all(), inspectActor) : [],
  };
}

/** One actor, looked into. */
export interface Examination {
  readonly report: ActorReport;
  /** As the actor gives it; absent when it gives none. */
  readonly state?: unknown;
  /** Handled since it was first looked at, the oldest first. */
  readonly recent: readonly RecordedMessage[];
}

/** See `System.examine`. */
export function examineActor(cell: Cell, timeoutMs: number): Promise<Examination> {
  return new Promise((resolve, reject) => {
    if (cell.phase === 'stopped') {
      reject(new ActorClosed(cell.path, 'examine'));
      return;
    }
    const late = new Delay(cell.kernel.wheel, timeoutMs, () => {
      reject(new AskTimeout(cell.path, 'examine', timeoutMs));
    });
    cell.record();
    cell.post({
      activity: 'inspection',
      run: () => {
        late.cancel();
        const state = cell.showState();
        resolve({ report: inspectActor(cell), ...(state === undefined ? {} : { state }), recent: cell.recorded });
      },
    });
  });
}

function described(error: unknown): string {
  if (error instanceof Error) return `${error.name}: ${error.message}`;
  return typeof error === 'string' ? error : Object.prototype.toString.call(error);
}
