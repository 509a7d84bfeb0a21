/** Keyboard shortcuts: single keys, and pairs that start with `g` ("go"). */
export type Shortcut = 'help' | 'go-jobs' | 'go-devices' | 'theme';

export interface KeyPress {
  readonly key: string;
  /** Ctrl, Alt or Meta was held: such keys belong to the browser. */
  readonly modified: boolean;
  /** The focus is in a field where keys are text. */
  readonly typing: boolean;
}

export const SHORTCUTS: readonly { readonly keys: readonly string[]; readonly does: string; readonly shortcut: Shortcut }[] = [
  { keys: ['g', 'j'], does: 'Go to jobs', shortcut: 'go-jobs' },
  { keys: ['g', 'd'], does: 'Go to devices', shortcut: 'go-devices' },
  { keys: ['t'], does: 'Switch between the dark and the light theme', shortcut: 'theme' },
  { keys: ['?'], does: 'Show or hide this list', shortcut: 'help' },
];

const PAIR_WITHIN_MS = 1_000;

/** Answers the shortcut that a key press completes. The second key of a pair counts within a second of the first. */
export function createShortcuts(now: () => number): (press: KeyPress) => Shortcut | null {
  let leader: { key: string; at: number } | null = null;
  return ({ key, modified, typing }) => {
    const first = leader !== null && now() - leader.at <= PAIR_WITHIN_MS ? leader.key : null;
    leader = null;
    if (modified || typing) return null;
    const keys = first === null ? [key] : [first, key];
    const match = SHORTCUTS.find((s) => s.keys.join(' ') === keys.join(' '));
    if (match) return match.shortcut;
    if (SHORTCUTS.some((s) => s.keys.length > 1 && s.keys[0] === key)) leader = { key, at: now() };
    return null;
  };
}
