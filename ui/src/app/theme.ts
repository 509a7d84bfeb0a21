import { createSource, type Source } from '../live/source.ts';
import type { Storage } from './key-store.ts';

export type Theme = 'dark' | 'light';

export interface Themes {
  readonly theme: Source<Theme>;
  toggle(): void;
}

/** The theme, remembered in localStorage. `public/theme.js` applies it before the first paint; `apply` does it from then on. */
export function createThemes(options: { storage: Storage; initial: string | undefined; apply: (theme: Theme) => void }): Themes {
  const theme = createSource<Theme>(options.initial === 'light' ? 'light' : 'dark');
  return {
    theme,
    toggle() {
      const next = theme.get() === 'dark' ? 'light' : 'dark';
      options.apply(next);
      try {
        options.storage.setItem('corpgrid.theme', next);
      } catch {
        // Not remembered: storage is closed to us, and the page works all the same.
      }
      theme.set(next);
    },
  };
}
