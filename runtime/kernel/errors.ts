/**
 * The kernel's failures.
 *
 * A `Refusal` is an *expected* failure: thrown by an ask's handler it travels to the asker and the actor lives on.
 * Everything else that a handler throws is a crash: the supervisor decides, and the asker gets `ActorCrashed`.
 */

const REFUSAL = Symbol.for('corpgrid.refusal');

/** What helps the reader of an error: where the bad field is, how to mend it, and what caused it. */
export interface RefusalDetail {
  /** Path of the offending field, as in `shards.inputs[3].sha256`. */
  readonly path?: string;
  /** What to do about it, one sentence. */
  readonly fix?: string;
  readonly cause?: unknown;
}

/** An expected failure with a stable code. Safe to show to the one who asked. */
export class Refusal extends Error {
  override readonly name: string = 'Refusal';
  readonly code: string;
  readonly path: string | undefined;
  readonly fix: string | undefined;
  /** Realm-safe mark: worker threads and duplicated modules have their own class objects. */
  readonly [REFUSAL] = true;

  constructor(code: string, message: string, detail: RefusalDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.path = detail.path;
    this.fix = detail.fix;
  }

  static is(value: unknown): value is Refusal {
    return typeof value === 'object' && value !== null && REFUSAL in value;
  }
}

/**
 * The reply to an ask did not come within its deadline. The handler may have run, may be running or may run later:
 * ask again only for what is safe to do twice.
 */
export class AskTimeout extends Refusal {
  override readonly name = 'AskTimeout';

  constructor(actor: string, message: string, timeoutMs: number) {
    super('ASK_TIMEOUT', `${actor} did not answer '${message}' within ${timeoutMs} ms`, {
      fix: 'See why the actor is busy, or give it more time.',
    });
  }
}

/** The actor has ended, or ended before it took the message out of its mailbox. It will never answer: find its successor. */
export class ActorClosed extends Refusal {
  override readonly name = 'ActorClosed';

  constructor(actor: string, message: string) {
    super('ACTOR_CLOSED', `${actor} has ended and does not take '${message}'`);
  }
}

/** The mailbox holds as many messages as it may. Nothing happened: slow down and ask again. */
export class MailboxFull extends Refusal {
  override readonly name = 'MailboxFull';

  constructor(actor: string, message: string) {
    super('MAILBOX_FULL', `the mailbox of ${actor} is full and does not take '${message}'`, { fix: 'Slow down and try again.' });
  }
}

/** The handler of this very message crashed; `cause` says how. The message is not retried; what it had done so far is undefined. */
export class ActorCrashed extends Refusal {
  override readonly name = 'ActorCrashed';

  constructor(actor: string, message: string, cause: unknown) {
    super('ACTOR_CRASHED', `${actor} crashed while it handled '${message}'`, { cause });
  }
}

/** Thrown by `Context.stash` through the handler: the message in hand is set aside. Nobody should catch it. */
export class SetAside extends Error {
  override readonly name = 'SetAside';
  static readonly now = new SetAside('this message is set aside; a handler that catches this must throw it again');
}

/** More messages were set aside than the actor may hold. */
export class StashFull extends Error {
  override readonly name = 'StashFull';

  constructor(actor: string, capacity: number) {
    super(`${actor} has set ${capacity} messages aside and may hold no more`);
  }
}

/** An actor that this one was linked to crashed, and took it along; `cause` says with what. */
export class LinkedCrash extends Error {
  override readonly name = 'LinkedCrash';

  constructor(actor: string, cause: unknown) {
    super(`${actor}, linked to this actor, crashed`, { cause });
  }
}
