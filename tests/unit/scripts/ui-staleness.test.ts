import { describe, expect, it } from 'vitest';

import { parseRecord, recordOf, staleness } from '../../../scripts/ui-staleness.ts';

const hash = (letter: string): string => letter.repeat(64);
const current = new Map([
  ['ui/src/main.ts', hash('a')],
  ['ui/src/a file.svelte', hash('b')],
]);
const recorded = recordOf(current);

describe('staleness of the pages', () => {
  it('is null when every input is what it was', () => {
    expect(staleness({ current, recorded, complete: true })).toBeNull();
  });

  it('does not depend on the order of the files', () => {
    expect(recordOf(new Map([...current].reverse()))).toBe(recorded);
    expect(parseRecord(recorded)).toEqual(new Map([...current].sort(([a], [b]) => (a < b ? -1 : 1))));
  });

  it.each<[string, Partial<Parameters<typeof staleness>[0]>, string]>([
    ['no output', { complete: false }, 'The pages were never built.'],
    ['no record', { recorded: null }, 'The pages were never built.'],
    ['a broken record', { recorded: 'half a li' }, 'The record of the last build cannot be read.'],
    [
      'a changed file',
      { current: new Map([...current, ['ui/src/main.ts', hash('c')]]) },
      'ui/src/main.ts has changed since the last build.',
    ],
    ['a new file', { current: new Map([...current, ['ui/src/new.ts', hash('c')]]) }, 'ui/src/new.ts is new since the last build.'],
    ['a removed file', { current: new Map([['ui/src/main.ts', hash('a')]]) }, 'ui/src/a file.svelte is gone since the last build.'],
  ])('names the reason: %s', (_, change, reason) => {
    expect(staleness({ current, recorded, complete: true, ...change })).toBe(reason);
  });
});
