import type { Cell } from '#runtime/kernel/cell.ts';
import type { Ask, Declaration, Declarations, MessagesOf, Protocol, Tell } from '#runtime/kernel/protocol.ts';

/** What became of a tell: it is in the mailbox, there was no room, or the actor has ended. */
export type Admission = 'accepted' | 'full' | 'closed';

export interface AskOptions {
  /** The ask ends with `AskTimeout` after this many milliseconds. Must be finite; nothing is sent when it is not above 0. */
  readonly timeoutMs: number;
}

type TellStub<P> = [P] extends [void] ? () => Admission : (payload: P) => Admission;
type AskStub<P, R> = (payload: [P] extends [void] ? undefined : P, options: AskOptions) => Promise<R>;
type Stub<M extends Declaration> = M extends Ask<infer P, infer R> ? AskStub<P, R> : M extends Tell<infer P> ? TellStub<P> : never;

/**
 * The address of an actor, with one method per message of its protocol. It stays valid when the actor restarts.
 *
 * A tell answers at once and never throws. An ask always ends: with the answer, with the `Refusal` that the handler threw,
 * or with `AskTimeout`, `ActorClosed`, `MailboxFull` or `ActorCrashed`.
 */
export type Ref<Pr extends Protocol> = ActorRef & { readonly [K in keyof MessagesOf<Pr>]: Stub<MessagesOf<Pr>[K]> };

/** A ref whose protocol does not matter: good for watching and stopping. */
export type AnyRef = ActorRef;

export type RefClass = new (cell: Cell) => ActorRef;

/** What all refs have in common. The cell is private: it neither prints nor compares. */
export class ActorRef {
  readonly #cell: Cell;

  constructor(cell: Cell) {
    this.#cell = cell;
  }

  /** Where the actor is in the tree, as in `/jobs/job-123`. */
  get path(): string {
    return this.#cell.path;
  }

  toString(): string {
    return this.path;
  }

  toJSON(): string {
    return this.path;
  }

  /** How Node's `util.inspect` shows it. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.path;
  }

  /** For the kernel only: the way from an address to the actor behind it. */
  static cellOf(ref: ActorRef): Cell {
    return ref.#cell;
  }

  static tellStub(kind: number): (this: ActorRef, payload: unknown) => Admission {
    return function tell(payload) {
      return this.#cell.tell(kind, payload);
    };
  }

  static askStub(kind: number): (this: ActorRef, payload: unknown, options: AskOptions) => Promise<unknown> {
    return function ask(payload, options) {
      return this.#cell.ask(kind, payload, options.timeoutMs);
    };
  }
}

/** Makes the class of a protocol's refs: the stubs stand on its prototype, so a ref costs one small object. */
export function refClass(name: string, messages: Declarations): RefClass {
  const stubs = class extends ActorRef {};
  Object.defineProperty(stubs, 'name', { value: `Ref(${name})` });
  Object.keys(messages).forEach((message, kind) => {
    const stub = messages[message]?.kind === 'ask' ? ActorRef.askStub(kind) : ActorRef.tellStub(kind);
    Object.defineProperty(stubs.prototype, message, { value: stub });
  });
  return stubs;
}
