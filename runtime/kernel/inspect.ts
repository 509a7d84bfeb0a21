import type { Cell, Phase } from '#runtime/kernel/cell.ts';

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
    mailbox: { depth: cell.depth, capacity: cell.capacity },
    handled: cell.handled,
    restarts: cell.restarts,
    ...(lastError === undefined ? {} : { lastError: described(lastError) }),
    children: cell.hasChildren ? Array.from(cell.children.all(), inspectActor) : [],
  };
}

function described(error: unknown): string {
  if (error instanceof Error) return `${error.name}: ${error.message}`;
  return typeof error === 'string' ? error : Object.prototype.toString.call(error);
}
