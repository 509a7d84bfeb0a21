import { createContext } from 'svelte';

import type { Router } from './router.ts';
import type { Session } from './session.ts';
import type { Themes } from './theme.ts';

/** What the composition root (App.svelte) hands to every page below it. */
export const [useSession, provideSession] = createContext<Session>();
export const [useRouter, provideRouter] = createContext<Router>();
export const [useThemes, provideThemes] = createContext<Themes>();
/** Milliseconds since 1970, moving once a second: ages stay true without a message from the grid. */
export const [useNow, provideNow] = createContext<{ readonly current: number }>();
