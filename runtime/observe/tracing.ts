import { AsyncLocalStorage } from 'node:async_hooks';

import {
  context as contexts,
  type Context,
  type ContextManager,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';

import type { Tracing } from '#runtime/kernel/tracing.ts';

/** OpenTelemetry's current context, kept over every `await` by Node's asynchronous context frames. */
class FrameContexts implements ContextManager {
  readonly #storage = new AsyncLocalStorage<Context>();
  /** What the storage holds while the dispatcher runs actors, else null: then only the storage knows. */
  #now: Context | null = null;

  active(): Context {
    return this.#now ?? this.#storage.getStore() ?? ROOT_CONTEXT;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    context: Context,
    run: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#within(context, () => run.apply(thisArg, args));
  }

  /**
   * Makes it the context of all that the code on the stack does from now on. `with` costs two frames and a closure; for messages, which
   * mostly follow each other within one trace, this costs nothing.
   */
  enter(context: Context): void {
    if (this.active() === context) return;
    this.#storage.enterWith(context);
    if (this.#now !== null) this.#now = context;
  }

  began(): void {
    this.#now = this.#storage.getStore() ?? ROOT_CONTEXT;
  }

  ended(): void {
    this.#now = null;
  }

  bind<T>(context: Context, target: T): T {
    if (typeof target !== 'function') return target;
    return ((...args: unknown[]): unknown => this.#within(context, () => (target as (...all: unknown[]) => unknown)(...args))) as T;
  }

  #within<R>(context: Context, run: () => R): R {
    const before = this.#now;
    if (before === null) return this.#storage.run(context, run);
    this.#now = context;
    try {
      return this.#storage.run(context, run);
    } finally {
      this.#now = before;
    }
  }

  enable(): this {
    return this;
  }

  disable(): this {
    this.#storage.disable();
    return this;
  }
}

/** Tracing that is bound to OpenTelemetry. */
export interface OtelTracing extends Tracing {
  /** Gives OpenTelemetry's global context manager back. */
  close(): void;
}

/**
 * Carries OpenTelemetry's context with every tell and ask, and records one span for each message of a trace that is being recorded:
 * `protocol.message`, with the actor's path, ended when the handler has settled, with the error if it failed. A trace that is not
 * sampled is carried on and costs no span.
 *
 * @param tracer whose spans these are; by default the global provider's, which an operator's SDK registers
 * @throws {Error} when somebody has registered another context manager: two cannot both know the current context
 */
export function otelTracing(tracer: Tracer = trace.getTracer('corpgrid')): OtelTracing {
  const manager = new FrameContexts();
  if (!contexts.setGlobalContextManager(manager)) throw new Error('OpenTelemetry has a context manager already');
  let last = ROOT_CONTEXT;
  let isRecorded = false;
  return {
    current: () => manager.active(),
    enter(carried) {
      // It was made by `current`.
      const parent = carried as Context;
      if (parent !== last) {
        last = parent;
        isRecorded = trace.getSpan(parent)?.isRecording() === true;
      }
      manager.enter(parent);
      return isRecorded;
    },
    record(carried, name, handler, payload) {
      const parent = carried as Context;
      const span = tracer.startSpan(
        `${name.protocol}.${name.message}`,
        { kind: SpanKind.CONSUMER, attributes: { 'corpgrid.actor': name.path } },
        parent,
      );
      manager.enter(trace.setSpan(parent, span));
      return recorded(span, () => handler(payload));
    },
    began: () => {
      manager.began();
    },
    ended: () => {
      manager.ended();
    },
    close: () => {
      contexts.disable();
    },
  };
}

/** Ends the span when the work has settled. */
function recorded(span: Span, work: () => unknown): unknown {
  const failed = (error: unknown): never => {
    span.recordException(error instanceof Error ? error : String(error));
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
    throw error;
  };
  let result: unknown;
  try {
    result = work();
  } catch (error) {
    return failed(error);
  }
  if (!(result instanceof Promise)) {
    span.end();
    return result;
  }
  return result.then((value: unknown) => {
    span.end();
    return value;
  }, failed);
}
