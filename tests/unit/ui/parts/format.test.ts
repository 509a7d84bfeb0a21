import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ago, bytes, clock, count, counted, DASH, duration, numberWord, percent, shortHash } from '../../../../ui/src/parts/format.ts';
import { sentenceParts } from '../../../../ui/src/parts/sentence.ts';
import { deviceWord, glyphOfDevice, glyphOfJob } from '../../../../ui/src/parts/state-glyphs.ts';
import { windowRows } from '../../../../ui/src/parts/window-rows.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

describe('format', () => {
  it('writes unknown values as a dash, never as 0', () => {
    for (const unknown of [null, undefined, Number.NaN]) {
      expect(count(unknown)).toBe(DASH);
      expect(bytes(unknown)).toBe(DASH);
    }
    expect(ago(null, 0)).toBe(DASH);
    expect(clock(null, 0)).toBe(DASH);
    expect(percent(0, 0)).toBe(DASH);
    expect(count(0)).toBe('0');
  });

  it.each([
    [0, '0 B'],
    [512, '512 B'],
    [1023, '1,023 B'],
    [1024, '1.0 KiB'],
    [27_648, '27 KiB'],
    [1024 ** 2 - 1, '1.0 MiB'],
    [16 * 1024 ** 3, '16 GiB'],
    [1.5 * 1024 ** 4, '1.5 TiB'],
  ])('%d bytes are %s', (value, text) => {
    expect(bytes(value)).toBe(text);
  });

  it.each([
    [-5, '0 ms'],
    [840, '840 ms'],
    [4_100, '4.1 s'],
    [9_960, '10 s'],
    [59_400, '59 s'],
    [59_600, '1 min'],
    [11 * MINUTE, '11 min'],
    [59.6 * MINUTE, '1 h'],
    [3 * HOUR + 20 * MINUTE, '3 h 20 min'],
    [23 * HOUR + 59.9 * MINUTE, '1 d'],
    [52 * HOUR, '2 d 4 h'],
  ])('%d ms are %s', (value, text) => {
    expect(duration(value)).toBe(text);
  });

  it('never writes a part that should have carried over', () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 100 * 24 * HOUR }), (ms) => !/\b(60 s|60 min|24 h)\b/.test(duration(ms))));
  });

  it('tells ages, also when the clock of the grid is ahead', () => {
    expect(ago(10_000, 9_000)).toBe('just now');
    expect(ago(10_000, 11_999)).toBe('just now');
    expect(ago(10_000, 15_400)).toBe('5 s ago');
    expect(ago(10_000, 55_400)).toBe('45 s ago');
    expect(ago(10_000, 10_000 + 5 * MINUTE)).toBe('5 min ago');
  });

  it('names the day when it was not today', () => {
    const noon = new Date(2026, 4, 4, 12, 5).getTime();
    expect(clock(noon, noon + HOUR)).toBe('12:05');
    expect(clock(noon, noon + 24 * HOUR)).toBe('4 May, 12:05');
  });

  it('writes counts, hashes and words', () => {
    expect(counted(1, 'shard')).toBe('1 shard');
    expect(counted(1_000, 'shard')).toBe('1,000 shards');
    expect(shortHash(`7be1${'0'.repeat(56)}c90d`)).toBe('7be1…c90d');
    expect(numberWord(2)).toBe('Two');
    expect(numberWord(12)).toBe('12');
    expect(percent(1, 4)).toBe('25 %');
  });
});

describe('sentenceParts', () => {
  it('makes a sentence of a message and finds its code', () => {
    expect(sentenceParts('`corpgrid keys create` makes a new one')).toEqual([
      { text: 'corpgrid keys create', code: true },
      { text: ' makes a new one.', code: false },
    ]);
    expect(sentenceParts('the key is unknown')).toEqual([{ text: 'The key is unknown.', code: false }]);
    expect(sentenceParts('Really?')).toEqual([{ text: 'Really?', code: false }]);
  });
});

describe('glyphs', () => {
  it('draws a device that is away unlike one that is idle', () => {
    expect(
      new Set([
        glyphOfDevice('present', 0),
        glyphOfDevice('present', 1),
        glyphOfDevice('draining', 0),
        glyphOfDevice('absent', 0),
        glyphOfDevice('revoked', 0),
        glyphOfDevice('enrolled', 0),
      ]).size,
    ).toBe(6);
    expect([deviceWord('present', 0), deviceWord('present', 2), deviceWord('absent', 0), deviceWord('enrolled', 0)]).toEqual([
      'idle',
      'busy',
      'absent',
      'never seen',
    ]);
    expect([deviceWord('draining', 1), deviceWord('draining', 0, true)]).toEqual(['draining', 'drained']);
  });
  it('draws each state of a job in its own way', () => {
    const states = ['queued', 'running', 'paused', 'sealing', 'done', 'failed', 'cancelled'] as const;
    expect(new Set(states.map((state) => glyphOfJob(state, true))).size).toBe(7);
    expect(glyphOfJob('done', false)).toBe('accepted');
  });
});

describe('windowRows', () => {
  it('keeps the rows in sight and some around them, and the height of the rest', () => {
    expect(windowRows({ count: 10_000, rowHeight: 35, scrolled: 35_000, seen: 700 })).toEqual({
      from: 988,
      to: 1_032,
      above: 988 * 35,
      below: (10_000 - 1_032) * 35,
    });
    expect(windowRows({ count: 5, rowHeight: 35, scrolled: -200, seen: 900 })).toEqual({ from: 0, to: 5, above: 0, below: 0 });
  });

  it('never loses height, wherever the page stands', () => {
    const any = {
      count: fc.nat(20_000),
      rowHeight: fc.integer({ min: 10, max: 60 }),
      scrolled: fc.integer({ min: -5_000, max: 2_000_000 }),
      seen: fc.nat(4_000),
    };
    fc.assert(
      fc.property(fc.record(any), (room) => {
        const { from, to, above, below } = windowRows(room);
        expect(above + (to - from) * room.rowHeight + below).toBe(room.count * room.rowHeight);
        expect(to - from).toBeLessThanOrEqual(room.seen / room.rowHeight + 27);
      }),
    );
  });
});
