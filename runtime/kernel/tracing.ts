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
   * Calls the handler, answers what it answers and throws what it throws; its code, also after an `await`, has this context. The context
   * need not be given back afterwards: whatever runs next in the dispatcher comes with its own.
   */
  run(context: unknown, name: MessageName, handler: AnyHandler, payload: unknown): unknown;
  /** Enters a context, for what is no message: a timer's callback, a start. */
  enter(context: unknown): void;
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
