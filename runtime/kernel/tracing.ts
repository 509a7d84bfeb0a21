import type { AnyHandler } from '#runtime/kernel/handler-table.ts';

/** What a message is, for whoever traces it. */
export interface MessageName {
  readonly protocol: string;
  readonly message: string;
  /** Of the actor that handles it. Put together when asked for. */
  readonly path: string;
}

/**
 * Carries a trace from the sender of a message to its handler. What a context is, the kernel does not know.
 * `runtime/observe/tracing.ts` binds it to OpenTelemetry. A system without it pays nothing.
 */
export interface Tracing {
  /** The context of the code that runs now: of a handler, or of whoever calls from outside. */
  current(): unknown;
  /**
   * Makes it the context of the code on the stack from now on, also after an `await`; answers whether messages in it are recorded. It need
   * not be given back afterwards: whatever runs next in the dispatcher comes with its own.
   */
  enter(context: unknown): boolean;
  /** Calls the handler of a recorded message in its context; answers what it answers and throws what it throws. */
  record(context: unknown, name: MessageName, handler: AnyHandler, payload: unknown): unknown;
  /** From here to `ended` the dispatcher runs actors, and no other code runs but theirs. Asking Node for the context is slow: now it need not. */
  began(): void;
  ended(): void;
}

/** A payload with the context of its sender. */
export class Traced {
  readonly payload: unknown;
  readonly context: unknown;

  constructor(payload: unknown, context: unknown) {
    this.payload = payload;
    this.context = context;
  }
}
