/**
 * A store that knows which of its verbs are under way, so that the database can be closed when none is. Closing a pool under
 * a statement that is still waiting for its connection leaves both waiting for ever.
 */
export function trackStore<S extends object>(store: S): { readonly store: S; readonly idle: () => Promise<void> } {
  const underWay = new Set<Promise<unknown>>();

  const tracked = new Proxy(store, {
    get(target, name, receiver) {
      const verb: unknown = Reflect.get(target, name, receiver);
      if (typeof verb !== 'function') return verb;
      return (...args: unknown[]): unknown => {
        const work: unknown = Reflect.apply(verb, target, args);
        if (work instanceof Promise) {
          underWay.add(work);
          const done = (): void => void underWay.delete(work);
          work.then(done, done);
        }
        return work;
      };
    },
  });

  return {
    store: tracked,
    async idle() {
      while (underWay.size > 0) await Promise.allSettled(underWay);
    },
  };
}
