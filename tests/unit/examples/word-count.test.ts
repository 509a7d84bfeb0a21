import { execFileSync } from 'node:child_process';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { exampleModule, framed, runModule } from '#tests/support/run-module.ts';

const MODULE = exampleModule('word-count');

function count(text: string | Uint8Array): Buffer {
  const run = runModule(MODULE, ['count'], Buffer.from(text));
  if (run.code !== 0) throw new Error(run.log);
  return run.output;
}

function merge(...tables: readonly (string | Buffer)[]): Buffer {
  const run = runModule(MODULE, ['merge'], framed(tables.map((table) => Buffer.from(table))));
  if (run.code !== 0) throw new Error(run.log);
  return run.output;
}

/** The same in plain JavaScript. */
function expected(text: string): string {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(/[A-Za-z]+/g)) counts.set(word.toLowerCase(), (counts.get(word.toLowerCase()) ?? 0) + 1);
  return [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([word, times]) => `${word}\t${times}\n`)
    .join('');
}

/** Text of few letters, so that words repeat and share beginnings. */
const TEXT = fc.string({ unit: fc.constantFrom('a', 'b', 'B', 'Z', ' ', '\n', '-', '0', 'é', '@', '[', '`', '{'), maxLength: 2000 });

/** About `size` bytes of words that come unevenly often; the same each time. */
function prose(size: number): string {
  const words: string[] = [];
  let state = 1;
  for (let length = 0; length < size;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const rank = Math.floor((state / 2 ** 32) ** 3 * 40_000);
    const word = rank.toString(26).replaceAll(/\d/g, (digit) => 'QRSTUVWXYZ'[Number(digit)] ?? '');
    words.push(word);
    length += word.length + 1;
  }
  return words.join(' ');
}

describe('count', () => {
  it('agrees with plain JavaScript on any text', () => {
    fc.assert(
      fc.property(TEXT, (text) => count(text).toString() === expected(text)),
      { numRuns: 200, seed: 11 },
    );
  });

  it('agrees on a text of a million bytes and many words', () => {
    const text = prose(1_000_000);
    expect(count(text).toString()).toBe(expected(text));
  });

  it.runIf(process.platform !== 'win32')('agrees with tr, sort and uniq', () => {
    const text = prose(200_000);
    const pipeline = "tr 'A-Z' 'a-z' | tr -cs 'a-z' '\\n' | grep . | sort | uniq -c | awk '{ print $2 \"\\t\" $1 }'";
    const theirs = execFileSync('sh', ['-c', pipeline], { input: text, env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
    expect(count(text).equals(theirs)).toBe(true);
  });

  it('answers nothing for nothing', () => {
    expect(count('').toString()).toBe('');
    expect(count('1234 ... \n').toString()).toBe('');
  });

  it('takes a word longer than any of its buffers', () => {
    const long = 'x'.repeat(700_000);
    expect(count(`${long} y ${long}z ${long}`).toString()).toBe(`${long}\t2\n${long}z\t1\ny\t1\n`);
  });

  it('sorts words that begin alike', () => {
    const words = ['aaaaaaaab', 'aaaaaaaa', 'aaaaaaa', 'aaaaaaaaa', 'aaaaaaaaab', 'b'];
    expect(count(words.join(' ')).toString()).toBe(expected(words.join(' ')));
  });

  it('reads bytes, not characters', () => {
    expect(count(Uint8Array.from([0x61, 0xff, 0x00, 0xc3, 0x62, 0x80])).toString()).toBe('a\t1\nb\t1\n');
  });
});

describe('merge', () => {
  it('gives the count of the whole from the counts of its parts, in any cut', () => {
    fc.assert(
      fc.property(fc.array(TEXT, { maxLength: 6 }), (texts) => merge(...texts.map(count)).equals(count(texts.join('\n')))),
      { numRuns: 100, seed: 12 },
    );
  });

  it('adds counts beyond 32 bits', () => {
    expect(merge('a\t4000000000\n', 'a\t4000000000\n').toString()).toBe('a\t8000000000\n');
  });

  it.each(['a\n', 'a 1\n', 'A\t1\n', '\t1\n', 'a\t1', 'a\t-1\n'])('fails on what is no table: %j', (table) => {
    expect(() => merge(table)).toThrow('this is not a table of words');
  });

  it('fails on an input that ends too early', () => {
    const whole = framed([Buffer.from('a\t1\n'), Buffer.from('b\t1\n')]);
    for (let length = 1; length < whole.length; length++) {
      if (length === 8) continue; // the end of the first table
      expect(runModule(MODULE, ['merge'], whole.subarray(0, length)).code).toBe(1);
    }
  });
});

it('says how it is used when its arguments are wrong', () => {
  for (const args of [[], ['sum'], ['count', 'count']]) {
    expect(runModule(MODULE, args)).toMatchObject({ code: 1, log: 'usage: word-count count|merge\n' });
  }
});
