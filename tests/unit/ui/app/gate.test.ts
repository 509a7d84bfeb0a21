import { describe, expect, it } from 'vitest';

import type { ProblemJson } from '#actors/contract/live.ts';

import { createGate } from '../../../../ui/src/app/gate.ts';
import { createKeyStore, keyFromFragment, type KeyStore } from '../../../../ui/src/app/key-store.ts';
import { createThemes } from '../../../../ui/src/app/theme.ts';
import type { Connection } from '../../../../ui/src/live/grid-socket.ts';
import { createSource } from '../../../../ui/src/live/source.ts';

function shelf(start: Record<string, string> = {}) {
  const items = new Map(Object.entries(start));
  return {
    items,
    getItem: (name: string) => items.get(name) ?? null,
    setItem: (name: string, value: string) => void items.set(name, value),
    removeItem: (name: string) => void items.delete(name),
  };
}
const REFUSAL: ProblemJson = { code: 'UNAUTHENTICATED', message: 'unknown key' };

describe('createGate', () => {
  function gateWith(keys: KeyStore, given: string | null = null) {
    const opened: { key: string; closed: boolean; connection: ReturnType<typeof createSource<Connection>> }[] = [];
    const keeper = createGate({
      keys,
      given,
      open(key) {
        const entry = { key, closed: false, connection: createSource<Connection>({ phase: 'connecting', problem: null }) };
        opened.push(entry);
        return { key, socket: { connection: entry.connection }, close: () => void (entry.closed = true) };
      },
    });
    const phase = (): string => keeper.gate.get().phase;
    const last = () => {
      const entry = opened.at(-1);
      if (!entry) throw new Error('no session was opened');
      return entry;
    };
    return { keeper, opened, phase, last };
  }

  it('shows the sign-in page when there is no key', () => {
    const { phase, opened } = gateWith(createKeyStore(shelf()));
    expect(phase()).toBe('out');
    expect(opened).toEqual([]);
  });

  it('lets a kept key in at once, though the grid is away', () => {
    const { phase, last } = gateWith(createKeyStore(shelf({ 'corpgrid.key': 'kept' })));
    expect(phase()).toBe('in');
    last().connection.set({ phase: 'connecting', problem: { code: 'UNREACHABLE', message: 'away' } });
    expect(phase()).toBe('in');
  });

  it('keeps a new key only when the grid has welcomed it', () => {
    const keys = createKeyStore(shelf());
    const { keeper, phase, last } = gateWith(keys);
    keeper.signIn('new');
    expect(phase()).toBe('trying');
    expect(keys.read()).toBeNull();
    last().connection.set({ phase: 'connected', lagMs: null });
    expect(phase()).toBe('in');
    expect(keys.read()).toBe('new');
  });

  it('shows the words of the grid when it refuses a new key', () => {
    const { keeper, last } = gateWith(createKeyStore(shelf()));
    keeper.signIn('wrong');
    last().connection.set({ phase: 'refused', problem: REFUSAL });
    expect(keeper.gate.get()).toEqual({ phase: 'out', problem: REFUSAL });
    expect(last().closed).toBe(true);
  });

  it('says that the grid is away when a new key cannot be asked about', () => {
    const { keeper, last } = gateWith(createKeyStore(shelf()));
    keeper.signIn('new');
    last().connection.set({ phase: 'connecting', problem: { code: 'UNREACHABLE', message: 'away' } });
    expect(keeper.gate.get()).toMatchObject({ phase: 'out', problem: { code: 'UNREACHABLE' } });
  });

  it('forgets a kept key that was revoked', () => {
    const keys = createKeyStore(shelf({ 'corpgrid.key': 'kept' }));
    const { keeper, last } = gateWith(keys);
    last().connection.set({ phase: 'refused', problem: REFUSAL });
    expect(keeper.gate.get()).toEqual({ phase: 'out', problem: REFUSAL });
    expect(keys.read()).toBeNull();
  });

  it('prefers the key of the address, and keeps the old one when that is refused', () => {
    const keys = createKeyStore(shelf({ 'corpgrid.key': 'kept' }));
    const { phase, last } = gateWith(keys, 'given');
    expect(last().key).toBe('given');
    expect(phase()).toBe('trying');
    last().connection.set({ phase: 'refused', problem: REFUSAL });
    expect(keys.read()).toBe('kept');
  });

  it('signs out: the key is gone and the connection closed', () => {
    const keys = createKeyStore(shelf({ 'corpgrid.key': 'kept' }));
    const { keeper, phase, last } = gateWith(keys);
    keeper.signOut();
    expect(phase()).toBe('out');
    expect(keys.read()).toBeNull();
    expect(last().closed).toBe(true);
  });

  it('hears nothing more from a session that it left', () => {
    const { keeper, opened, phase } = gateWith(createKeyStore(shelf()));
    keeper.signIn('one');
    keeper.signIn('two');
    opened[0]?.connection.set({ phase: 'refused', problem: REFUSAL });
    expect(phase()).toBe('trying');
  });
});

describe('key store', () => {
  it('works without storage for as long as the page lives', () => {
    const closed = { getItem: () => thrown(), setItem: () => thrown(), removeItem: () => thrown() };
    const keys = createKeyStore(closed);
    keys.keep('here');
    expect(keys.read()).toBe('here');
    keys.forget();
    expect(keys.read()).toBeNull();
  });

  it.each([
    ['#key=cg_abc', { key: 'cg_abc', rest: '' }],
    ['#key=cg_abc&at=3', { key: 'cg_abc', rest: '#at=3' }],
    ['#key=', null],
    ['#other', null],
    ['', null],
  ])('takes the key out of %j', (hash, found) => {
    expect(keyFromFragment(hash)).toEqual(found);
  });
});

describe('themes', () => {
  it('starts from what the page shows, toggles, applies and remembers', () => {
    const storage = shelf();
    const applied: string[] = [];
    const themes = createThemes({ storage, initial: undefined, apply: (theme) => applied.push(theme) });
    expect(themes.theme.get()).toBe('dark');
    themes.toggle();
    themes.toggle();
    themes.toggle();
    expect(applied).toEqual(['light', 'dark', 'light']);
    expect(storage.items.get('corpgrid.theme')).toBe('light');
  });
});

function thrown(): never {
  throw new Error('storage is closed');
}
