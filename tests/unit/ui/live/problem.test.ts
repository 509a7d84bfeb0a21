import { describe, expect, it } from 'vitest';

import { createPinnedKey } from '../../../../ui/src/live/pinned-key.ts';
import { nameFromDisposition } from '../../../../ui/src/live/grid-http.ts';
import { asProblem, GridProblem } from '../../../../ui/src/live/problem.ts';
import { createSource } from '../../../../ui/src/live/source.ts';

const fallback = { code: 'INTERNAL', message: 'something else' };

describe('asProblem', () => {
  it('reads a problem, bare or wrapped, and keeps only what the contract knows', () => {
    const problem = { code: 'CONFLICT', message: 'no', fix: 'wait', path: 'id', requestId: 'r1', stack: 'secret' };
    const read = { code: 'CONFLICT', message: 'no', fix: 'wait', path: 'id', requestId: 'r1' };
    expect(asProblem(problem, fallback)).toEqual(read);
    expect(asProblem({ error: problem }, fallback)).toEqual(read);
    expect(asProblem(new GridProblem(read), fallback)).toEqual(read);
  });

  it.each([null, undefined, 'text', 7, {}, { code: 1, message: 'x' }, { error: { code: 'X' } }])('answers the fallback for %j', (raw) => {
    expect(asProblem(raw, fallback)).toBe(fallback);
  });
});

describe('nameFromDisposition', () => {
  it.each([
    ['attachment; filename="a b.txt"', 'a b.txt'],
    ['attachment; filename=plain.bin', 'plain.bin'],
    ["attachment; filename*=UTF-8''z%C3%BCrich.txt", 'zürich.txt'],
    ['attachment', undefined],
    [null, undefined],
  ])('%s', (header, name) => {
    expect(nameFromDisposition(header)).toBe(name);
  });
});

describe('createSource', () => {
  it('tells each change once, and nothing after the unsubscribe', () => {
    const source = createSource(1);
    const heard: number[] = [];
    const off = source.subscribe(() => heard.push(source.get()));
    source.set(1);
    source.set(2);
    off();
    source.set(3);
    expect(heard).toEqual([2]);
  });
});

describe('createPinnedKey', () => {
  it('keeps the first key and warns of another until it is trusted', () => {
    const kept = new Map<string, string>();
    const pinned = createPinnedKey({ getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => void kept.set(name, value) });
    expect(pinned.see('aa')).toBe('first');
    expect(pinned.see('aa')).toBe('same');
    expect(pinned.see('bb')).toBe('changed');
    expect(pinned.see('bb')).toBe('changed');
    pinned.trust('bb');
    expect(pinned.see('bb')).toBe('same');
  });
});
