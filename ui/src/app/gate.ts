import type { ProblemJson } from '#actors/contract/live.ts';

import type { Connection } from '../live/grid-socket.ts';
import { createSource, type Source } from '../live/source.ts';
import type { KeyStore } from './key-store.ts';

/**
 * Who may see the pages.
 *
 * `out`: the sign-in page, with the reason when there is one. `trying`: a key was given and the grid is asked. `in`: the
 * pages. A kept key goes `in` at once, so that a coordinator that is away shows as a lost connection and not as a signed-out
 * browser; a new key must be welcomed first. A key that the grid refuses, at once or later, is forgotten and leads `out`.
 */
export type Gate<S> =
  | { readonly phase: 'out'; readonly problem: ProblemJson | null }
  | { readonly phase: 'trying' }
  | { readonly phase: 'in'; readonly session: S };

interface GatedSession {
  readonly key: string;
  readonly socket: { readonly connection: Source<Connection> };
  close(): void;
}

export interface GateKeeper<S> {
  readonly gate: Source<Gate<S>>;
  signIn(key: string): void;
  signOut(): void;
}

/** @param given a key out of the address, which wins over the kept one */
export function createGate<S extends GatedSession>(options: {
  keys: KeyStore;
  open: (key: string) => S;
  given: string | null;
}): GateKeeper<S> {
  const { keys, open, given } = options;
  const gate = createSource<Gate<S>>({ phase: 'out', problem: null });
  let session: S | null = null;

  function leave(problem: ProblemJson | null): void {
    session?.close();
    session = null;
    gate.set({ phase: 'out', problem });
  }

  function enter(key: string, trusted: boolean): void {
    session?.close();
    const opened = open(key);
    session = opened;
    gate.set(trusted ? { phase: 'in', session: opened } : { phase: 'trying' });
    opened.socket.connection.subscribe(() => {
      if (session !== opened) return;
      const now = opened.socket.connection.get();
      if (now.phase === 'refused') {
        if (keys.read() === key) keys.forget();
        leave(now.problem);
      } else if (gate.get().phase === 'trying') {
        if (now.phase === 'connected') {
          keys.keep(key);
          gate.set({ phase: 'in', session: opened });
        } else if (now.phase === 'connecting' && now.problem) {
          leave(now.problem);
        }
      }
    });
  }

  const kept = keys.read();
  if (given !== null) enter(given, false);
  else if (kept !== null) enter(kept, true);

  return {
    gate,
    signIn(key) {
      enter(key, false);
    },
    signOut() {
      keys.forget();
      leave(null);
    },
  };
}
