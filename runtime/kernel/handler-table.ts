/** A handler, called on the object that it belongs to, if that has methods. */
export type AnyHandler = (this: unknown, payload: unknown) => unknown;

/** The handlers in the order of the protocol's kinds. */
export type HandlerTable = readonly AnyHandler[];

/**
 * Puts handlers into the order of a protocol.
 *
 * Closures get a table for each object that holds them. An object of a class has its handlers on its prototype; all objects of the class
 * share one table then, which makes actors that are many cheap.
 */
export class HandlerTables {
  readonly #kinds: readonly string[];
  readonly #names: ReadonlySet<string>;
  /** By prototype. */
  readonly #shared = new WeakMap<object, HandlerTable>();
  #lastPrototype: object | null = null;
  #lastTable: HandlerTable = [];

  constructor(kinds: readonly string[]) {
    this.#kinds = kinds;
    this.#names = new Set(kinds);
  }

  /** Whether they are methods, to be called on their object. */
  areMethods(handlers: object): boolean {
    const prototype: unknown = Object.getPrototypeOf(handlers);
    return prototype !== Object.prototype && prototype !== null;
  }

  /** @throws {TypeError} when a handler is missing */
  of(handlers: object): HandlerTable {
    if (!this.areMethods(handlers) || this.#hasOwn(handlers)) return this.#make(handlers);
    const prototype = Object.getPrototypeOf(handlers) as object;
    if (prototype === this.#lastPrototype) return this.#lastTable;
    let table = this.#shared.get(prototype);
    if (table === undefined) {
      table = this.#make(handlers);
      this.#shared.set(prototype, table);
    }
    this.#lastPrototype = prototype;
    this.#lastTable = table;
    return table;
  }

  #hasOwn(handlers: object): boolean {
    for (const key of Object.keys(handlers)) if (this.#names.has(key)) return true;
    return false;
  }

  #make(handlers: object): HandlerTable {
    return this.#kinds.map((kind) => {
      const handler = (handlers as Readonly<Record<string, unknown>>)[kind];
      if (typeof handler !== 'function') throw new TypeError(`no handler for '${kind}'`);
      return handler as AnyHandler;
    });
  }
}
