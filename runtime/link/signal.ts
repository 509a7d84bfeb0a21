/** Listeners for one kind of event. A listener that throws does not keep the others from hearing it. */
export interface Signal<Arguments extends readonly unknown[]> {
  listen(listener: (...args: Arguments) => void): void;
  emit(...args: Arguments): void;
}

export function createSignal<Arguments extends readonly unknown[]>(onError: (error: unknown) => void): Signal<Arguments> {
  const listeners: ((...args: Arguments) => void)[] = [];
  return {
    listen(listener) {
      listeners.push(listener);
    },
    emit(...args) {
      for (const listener of listeners) {
        try {
          listener(...args);
        } catch (error) {
          onError(error);
        }
      }
    },
  };
}
