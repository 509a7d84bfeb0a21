import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '../..');
/** A sentence, and in brackets after it the tests that hold it. */
const PROMISE = /^- (.+?\.) \((`.+`)\)$/;
const NAMED = /^(tests\/[\w./-]+\.(?:test|contract)\.ts) › (.+)$/;

interface NamedTest {
  readonly sentence: string;
  readonly file: string;
  readonly title: string;
}

async function readPromises(): Promise<{ promises: readonly NamedTest[]; strange: readonly string[] }> {
  const text = await readFile(path.join(ROOT, 'GUARANTEES.md'), 'utf8');
  const promises: NamedTest[] = [];
  const strange: string[] = [];
  for (const line of text.split('\n').filter((one) => one.startsWith('- '))) {
    const [, sentence, tests] = PROMISE.exec(line) ?? [];
    if (sentence === undefined || tests === undefined) {
      strange.push(line);
      continue;
    }
    for (const one of tests.slice(1, -1).split('`; `')) {
      const [, file, title] = NAMED.exec(one) ?? [];
      if (file === undefined || title === undefined) strange.push(one);
      else promises.push({ sentence, file, title });
    }
  }
  return { promises, strange };
}

/** The source says `it('title'`, in whatever quotes and after whatever table. */
function names(source: string, title: string): boolean {
  return ["'", '"', '`'].some((quote) => source.includes(`${quote}${title}${quote}`));
}

describe('GUARANTEES.md', () => {
  it('names a test for every sentence', async () => {
    const { promises, strange } = await readPromises();
    expect(strange).toEqual([]);
    expect(promises.length).toBeGreaterThan(40);
  });

  it('names tests that are there', async () => {
    const missing: string[] = [];
    const { promises } = await readPromises();
    for (const { file, title } of promises) {
      const source = await readFile(path.join(ROOT, file), 'utf8').catch(() => '');
      if (!names(source, title)) missing.push(`${file} › ${title}`);
    }
    expect(missing).toEqual([]);
  });

  it('would notice a test that is gone', () => {
    expect(names("it('is there', () => {})", 'is there')).toBe(true);
    expect(names("it('is there no more', () => {})", 'is there')).toBe(false);
  });
});
