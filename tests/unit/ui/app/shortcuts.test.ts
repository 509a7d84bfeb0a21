import { describe, expect, it } from 'vitest';

import { createShortcuts, type Shortcut } from '../../../../ui/src/app/shortcuts.ts';

describe('shortcuts', () => {
  const setUp = () => {
    let now = 0;
    const press = createShortcuts(() => now);
    return {
      press: (key: string, over = {}): Shortcut | null => press({ key, modified: false, typing: false, ...over }),
      wait: (ms: number) => void (now += ms),
    };
  };

  it('knows single keys and pairs', () => {
    const { press } = setUp();
    expect(press('?')).toBe('help');
    expect(press('t')).toBe('theme');
    expect(press('g')).toBeNull();
    expect(press('j')).toBe('go-jobs');
    expect(press('g')).toBeNull();
    expect(press('d')).toBe('go-devices');
  });

  it('forgets the first key of a pair after a second, or after any other key', () => {
    const { press, wait } = setUp();
    press('g');
    wait(1_001);
    expect(press('j')).toBeNull();
    press('g');
    press('x');
    expect(press('j')).toBeNull();
  });

  it('starts over when the first key is pressed again', () => {
    const { press } = setUp();
    press('g');
    press('g');
    expect(press('d')).toBe('go-devices');
  });

  it('leaves text fields and the browser alone', () => {
    const { press } = setUp();
    expect(press('?', { typing: true })).toBeNull();
    press('g', { modified: true });
    expect(press('j')).toBeNull();
  });
});
