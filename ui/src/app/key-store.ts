/**
 * Where the API key of this browser lives: localStorage, under one name. A key that comes in the address's fragment
 * (`#key=…`, the link that `npm start` prints) is taken over once; fragments never travel to a server.
 */
export interface KeyStore {
  read(): string | null;
  keep(key: string): void;
  forget(): void;
}

export interface Storage {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
  removeItem(name: string): void;
}

const NAME = 'corpgrid.key';

/** Storage that is closed to us (private windows) is no error: the key then lives as long as the page. */
export function createKeyStore(storage: Storage): KeyStore {
  let held: string | null = null;
  const attempt = <T>(run: () => T, otherwise: T): T => {
    try {
      return run();
    } catch {
      return otherwise;
    }
  };
  return {
    read: () => attempt(() => storage.getItem(NAME), null) ?? held,
    keep(key) {
      held = key;
      attempt(() => storage.setItem(NAME, key), undefined);
    },
    forget() {
      held = null;
      attempt(() => storage.removeItem(NAME), undefined);
    },
  };
}

/** The key in an address's fragment, and the fragment without it; null when there is none. */
export function keyFromFragment(hash: string): { key: string; rest: string } | null {
  const fragment = new URLSearchParams(hash.replace(/^#/, ''));
  const key = fragment.get('key')?.trim();
  if (!key) return null;
  fragment.delete('key');
  const rest = fragment.toString();
  return { key, rest: rest === '' ? '' : `#${rest}` };
}
