import { createSource, type Source } from '../live/source.ts';
import { hrefOf, parseRoute, type Route } from './routes.ts';

/** What the router needs of a window; tests hand in a small one. */
export interface Address {
  readonly location: { readonly pathname: string; readonly search: string };
  readonly history: {
    pushState(state: null, unused: string, url: string): void;
    replaceState(state: null, unused: string, url: string): void;
  };
  addEventListener(type: 'popstate', listener: () => void): void;
  removeEventListener(type: 'popstate', listener: () => void): void;
}

export interface Router {
  readonly route: Source<Route>;
  /** `replace` for a change that the back button should not undo, such as a moved selection. */
  go(route: Route, how?: 'push' | 'replace'): void;
  close(): void;
}

/** History router: addresses are real paths, and the server answers index.html for each of them. */
export function createRouter(address: Address): Router {
  const read = (): Route => parseRoute(address.location.pathname, address.location.search);
  const route = createSource(read());
  const onPop = (): void => route.set(read());
  address.addEventListener('popstate', onPop);
  return {
    route,
    go(next, how = 'push') {
      const href = hrefOf(next);
      if (how === 'push' && href !== address.location.pathname + address.location.search) address.history.pushState(null, '', href);
      else address.history.replaceState(null, '', href);
      route.set(next);
    },
    close() {
      address.removeEventListener('popstate', onPop);
    },
  };
}
