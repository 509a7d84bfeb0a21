import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { createStopStrings } from '#agent/executors/inference/stop-strings.ts';

function run(stops: readonly string[], pieces: readonly string[]): { text: string; stopped: boolean } {
  const search = createStopStrings(stops);
  let text = '';
  for (const piece of pieces) {
    const found = search.push(piece);
    text += found.text;
    if (found.stopped) return { text, stopped: true };
  }
  return { text: text + search.end(), stopped: false };
}

describe('stop strings', () => {
  it('are found across pieces and never shown', () => {
    expect(run(['END'], ['one E', 'N', 'D two'])).toEqual({ text: 'one ', stopped: true });
  });

  it('hold back only what may still become one', () => {
    const search = createStopStrings(['END', 'stop']);
    expect(search.push('abc EN').text).toBe('abc ');
    expect(search.push('T st').text).toBe('ENT ');
    expect(search.push('ay').text).toBe('stay');
    expect(search.end()).toBe('');
  });

  it('give back at the end what did not become one', () => {
    expect(run(['END'], ['the EN'])).toEqual({ text: 'the EN', stopped: false });
  });

  it('take the earliest of several', () => {
    expect(run(['zz', 'b'], ['abzz'])).toEqual({ text: 'a', stopped: true });
  });

  it('never match half a character', () => {
    expect(run(['\ude00'], ['\u{1F600}'])).toEqual({ text: '\u{1F600}', stopped: false });
  });

  it('find what a search of the whole text finds', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\u{1F600}'), maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(
          letters.filter((stop) => stop !== ''),
          { maxLength: 3 },
        ),
        fc.array(letters, { maxLength: 12 }),
        (stops, pieces) => {
          const whole = pieces.join('');
          const first = Math.min(...stops.map((stop) => whole.indexOf(stop)).filter((index) => index >= 0));
          const expected = Number.isFinite(first) ? { text: whole.slice(0, first), stopped: true } : { text: whole, stopped: false };
          const found = run(stops, pieces);
          // One that ends earlier in the stream wins over one that begins earlier and ends later: nobody can know.
          if (found.stopped && expected.stopped) expect(whole.startsWith(found.text)).toBe(true);
          else expect(found).toEqual(expected);
          for (const stop of stops) expect(found.stopped ? found.text.includes(stop) : false).toBe(false);
        },
      ),
      { numRuns: 2000, seed: 20260103 },
    );
  });
});
