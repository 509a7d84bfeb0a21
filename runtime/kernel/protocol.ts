import { HandlerTables } from '#runtime/kernel/handler-table.ts';
import { refClass, type RefClass } from '#runtime/kernel/ref.ts';

declare const signature: unique symbol;

/** Declares a message without an answer. `P` is its payload. */
export interface Tell<P> {
  readonly kind: 'tell';
  readonly [signature]?: (payload: P) => void;
}

/** Declares a message that is answered. `P` is its payload, `R` the answer. */
export interface Ask<P, R> {
  readonly kind: 'ask';
  readonly [signature]?: (payload: P) => R;
}

export type Declaration = Tell<never> | Ask<never, unknown>;
export type Declarations = Readonly<Record<string, Declaration>>;

/** All messages that an actor understands. Refs, handlers and the inspector are derived from it. */
export interface Protocol<D extends Declarations = Declarations> {
  readonly name: string;
  readonly messages: D;
  /** The messages' names; a message travels as an index into this list. */
  readonly kinds: readonly string[];
  /** Makes the refs of this protocol. */
  readonly Ref: RefClass;
  /** Puts an actor's handlers into the order of `kinds`. */
  readonly tables: HandlerTables;
}

export type MessagesOf<Pr extends Protocol> = Pr['messages'];

const TELL: Tell<never> = Object.freeze({ kind: 'tell' });
const ASK: Ask<never, unknown> = Object.freeze({ kind: 'ask' });

export function tell<P = void>(): Tell<P> {
  return TELL as Tell<P>;
}

export function ask<P = void, R = void>(): Ask<P, R> {
  return ASK as Ask<P, unknown> as Ask<P, R>;
}

/** Names that a ref has anyway, or that would make it look like a promise. */
const RESERVED = new Set(['path', 'then', 'toJSON', ...Object.getOwnPropertyNames(Object.prototype)]);

/**
 * Declares a protocol, once, at module level.
 *
 * @example
 * export const ShardProtocol = protocol('shard', { lease: tell<Lease>(), status: ask<void, Status>() });
 * export type ShardRef = Ref<typeof ShardProtocol>;
 * @throws {TypeError} when a message has a name that every ref has already (`path`, `then`, `toString` …)
 */
export function protocol<const D extends Declarations>(name: string, messages: D): Protocol<D> {
  const kinds = Object.keys(messages);
  for (const kind of kinds) {
    if (RESERVED.has(kind)) throw new TypeError(`protocol '${name}': a message cannot be named '${kind}'`);
  }
  return Object.freeze({
    name,
    messages,
    kinds: Object.freeze(kinds),
    Ref: refClass(name, messages),
    tables: new HandlerTables(kinds),
  });
}
