/** What a browser remembers of the grid's public key: trust on first use, and a warning when it changes. */
export interface PinnedKey {
  /** `first` keeps the key; `changed` keeps the old one, so that the warning stays until somebody decides. */
  see(key: string): 'first' | 'same' | 'changed';
  /** Takes this key as the right one from now on. */
  trust(key: string): void;
}

interface KeyShelf {
  getItem(name: string): string | null;
  setItem(name: string, value: string): void;
}

const NAME = 'corpgrid.grid-key';

export function createPinnedKey(shelf: KeyShelf): PinnedKey {
  const trust = (key: string): void => {
    try {
      shelf.setItem(NAME, key);
    } catch {
      // Storage is closed to us: every visit is the first.
    }
  };
  return {
    see(key) {
      let kept: string | null = null;
      try {
        kept = shelf.getItem(NAME);
      } catch {
        // As above.
      }
      if (kept === null) trust(key);
      return kept === null ? 'first' : kept === key ? 'same' : 'changed';
    },
    trust,
  };
}
