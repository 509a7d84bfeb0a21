/** A value that changes over time and tells who listens. The seam between plain logic and the pages. */
export interface Source<T> {
  get(): T;
  /** Calls `changed` after each change, never at once. Answers the unsubscribe. */
  subscribe(changed: () => void): () => void;
}

/** The writable end of a source; kept by the logic that owns the value. */
export interface OwnedSource<T> extends Source<T> {
  set(value: T): void;
}

/** Listeners run in the order they came; one that leaves while they run is not called any more. */
export function createSource<T>(initial: T): OwnedSource<T> {
  const listeners = new Set<() => void>();
  let current = initial;
  return {
    get: () => current,
    set(value) {
      if (Object.is(value, current)) return;
      current = value;
      for (const listener of listeners) listener();
    },
    subscribe(changed) {
      const listener = (): void => changed();
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
