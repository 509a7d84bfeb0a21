import type { Clock } from '#runtime/kernel/host.ts';
import type { Ask, Declaration, MessagesOf, Protocol, Tell } from '#runtime/kernel/protocol.ts';
import type { AnyRef, Ref } from '#runtime/kernel/ref.ts';

type Handler<M extends Declaration> =
  M extends Ask<infer P, infer R>
    ? (this: void, payload: P) => R | Promise<R>
    : M extends Tell<infer P>
      ? (this: void, payload: P) => void | Promise<void>
      : never;

/**
 * One function for each message of the protocol. A handler may be async: the actor takes no other message until it settles.
 * A `Refusal` thrown in answer to an ask goes to the asker; everything else that is thrown is a crash.
 */
export type Handlers<Pr extends Protocol> = { readonly [K in keyof MessagesOf<Pr>]: Handler<MessagesOf<Pr>[K]> };

/** When a child is started again: always, after a crash only, or never. */
export type Restart = 'permanent' | 'transient' | 'temporary';

/** Who is restarted with a failed child: nobody else, all its siblings, or those that were started after it. */
export type Strategy = 'one-for-one' | 'one-for-all' | 'rest-for-one';

/** How an actor looks after its children. */
export interface SupervisionOptions {
  /** Default `one-for-one`. */
  readonly strategy?: Strategy;
  /** More restarts than this within `periodMs`, and the supervisor itself crashes. Default 5. */
  readonly intensity?: number;
  /** Default 10,000. */
  readonly periodMs?: number;
  /** The pause before a restart: `minMs` at first, doubling up to `maxMs`, give or take `jitter` (a share of it). */
  readonly backoff?: { readonly minMs: number; readonly maxMs: number; readonly jitter: number };
}

export interface MailboxOptions {
  /** So many messages may wait; the next one is answered `full`. Default 1024. */
  readonly capacity: number;
}

export interface ActorDefinition<Pr extends Protocol, Args> {
  readonly protocol: Pr;
  readonly supervise?: SupervisionOptions;
  readonly mailbox?: MailboxOptions;
  /** Makes the state (in its closure) and the handlers. Runs again, with the same arguments, at each restart. A failure is a crash. */
  readonly start: (context: Context<Pr>, args: Args) => Handlers<Pr> | Promise<Handlers<Pr>>;
}

/** What a supervisor needs to know to start a child, and to start it again. */
export type ChildSpec<Pr extends Protocol, Args> = {
  /** Unique among its siblings; part of the path. Left out for the many that nobody looks for: such a child is called `$1`, `$2` … */
  readonly id?: string;
  readonly actor: ActorDefinition<Pr, Args>;
  readonly restart: Restart;
  /** How long it may take to end: so long for the handler in hand, so long for its cleanups. Default 5,000. */
  readonly shutdownMs?: number;
  /** Overrides the definition's. */
  readonly mailbox?: MailboxOptions;
} & ([Args] extends [void] ? { readonly args?: undefined } : { readonly args: Args });

/** A child spec whose protocol and arguments do not matter any more. */
export interface AnyChildSpec {
  readonly id?: string;
  readonly actor: {
    readonly protocol: Protocol;
    readonly supervise?: SupervisionOptions;
    readonly mailbox?: MailboxOptions;
    readonly start: (context: never, args: never) => unknown;
  };
  readonly restart: Restart;
  readonly shutdownMs?: number;
  readonly mailbox?: MailboxOptions;
  readonly args?: unknown;
}

/** How an actor ended for good. */
export interface Termination {
  readonly path: string;
  /** By itself; by order of its parent or the system; or by a crash after which it was not restarted. */
  readonly reason: 'stopped' | 'shutdown' | 'crashed';
  /** What it crashed with. */
  readonly error?: unknown;
}

export interface Timer {
  cancel(): void;
}

/** The end of an ask whose answer comes later. Whatever comes first counts: one of these two, or the asker's deadline. */
export interface Reply<R> {
  /** How long the asker waits in all. */
  readonly timeoutMs: number;
  resolve(answer: R): void;
  /** With a `Refusal`, as a rule. The actor lives on. */
  reject(error: unknown): void;
}

export type Settled<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

/**
 * An actor's view of the world. It belongs to one incarnation: after a restart the old one is inert.
 *
 * All callbacks run in this actor's turn, before its messages, and never while a handler is at work. So a handler must not await
 * something that only such a callback brings about, nor an ask to its own actor: it would wait for itself.
 */
export interface Context<Pr extends Protocol> {
  readonly self: Ref<Pr>;
  readonly path: string;
  readonly clock: Clock;
  /** Uniform in [0, 1), from the host. */
  random(): number;
  /** Starts a child in its own turn; messages to it queue meanwhile. Throws when the id is taken or not usable in a path. */
  spawn<P2 extends Protocol, A2>(child: ChildSpec<P2, A2>): Ref<P2>;
  child(id: string): AnyRef | undefined;
  /** Ends a child for good, whatever its restart type. Settles when nothing of it is left; an unknown id settles at once. */
  stopChild(id: string): Promise<void>;
  /** The normal end of this actor, after the handler in hand. Its supervisor starts a permanent one again. */
  stop(): void;
  /** Calls back exactly once, in this actor's turn, when the other has ended for good, also if it had before. Answers an unwatch. */
  watch(ref: AnyRef, onTerminated: (termination: Termination) => void): () => void;
  /**
   * Ties the fate of this incarnation to that of the other actor's, both ways: when either crashes the other one crashes with `LinkedCrash`.
   * A normal end, a stop and a restart by a supervisor only undo the link; so does the answer. An actor that has ended already, or that
   * is down between two incarnations, crashes this one.
   */
  link(ref: AnyRef): () => void;
  /**
   * Sets the message in hand aside until `unstash`, and leaves its handler by throwing: `if (!ready) context.stash()`. As many can be set
   * aside as the mailbox holds; one more crashes the actor (`StashFull`). An ask waits on, its deadline runs. A restart puts them back.
   */
  stash(): never;
  /** Those that were set aside come next, in their old order and before all that wait. */
  unstash(): void;
  /**
   * For the handler of an ask that takes other messages before it answers: `return context.answerLater((reply) => …)`. The message counts
   * as handled. A reply that nobody gives ends by the asker's deadline.
   */
  answerLater<R>(begin: (reply: Reply<R>) => void): R;
  /** A receive timeout: calls back when no message was handled for `ms` milliseconds, once for each such pause; late by at most `ms`.
   *  To passivate, let it call `stop()`. */
  whenIdle(ms: number, callback: () => void | Promise<void>): Timer;
  /** What `System.examine` shows as this actor's state; called in this actor's turn. It must not hold secrets. */
  showState(snapshot: () => unknown): void;
  /** Calls back once, in this actor's turn, not before `ms` milliseconds have passed. */
  after(ms: number, callback: () => void | Promise<void>): Timer;
  /** Calls back every `ms` milliseconds, in this actor's turn. Ticks that were missed are skipped, not made up for. */
  every(ms: number, callback: () => void | Promise<void>): Timer;
  /** Waits for work without blocking the mailbox; calls back in this actor's turn. Dropped when the incarnation is over. */
  pipe<T>(work: Promise<T>, settled: (result: Settled<T>) => void | Promise<void>): void;
  /** Runs when the incarnation ends (stop, restart, shutdown), after the children have ended; the last registered first. */
  onStop(cleanup: () => void | Promise<void>): void;
}

/** Defines a kind of actor. State lives in the closure of `start`. */
export function defineActor<Pr extends Protocol, Args = void>(definition: ActorDefinition<Pr, Args>): ActorDefinition<Pr, Args> {
  return Object.freeze(definition);
}
