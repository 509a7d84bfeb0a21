import { createSubscriber } from 'svelte/reactivity';

import type { Source } from './source.ts';

/** A source as Svelte sees it: reading `current` in a template or an effect makes it run again after each change. */
export function reactive<T>(source: Source<T>): { readonly current: T } {
  const track = createSubscriber((update) => source.subscribe(update));
  return {
    get current() {
      track();
      return source.get();
    },
  };
}
