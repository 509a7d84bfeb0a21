import { expect, it } from 'vitest';

import { parseRange } from '#runtime/objects/byte-range.ts';

it.each<[string | undefined, number, ReturnType<typeof parseRange>]>([
  [undefined, 10, null],
  ['bytes=0-', 10, { first: 0, last: 9 }],
  ['bytes=0-0', 10, { first: 0, last: 0 }],
  ['bytes=3-5', 10, { first: 3, last: 5 }],
  ['bytes=3-500', 10, { first: 3, last: 9 }],
  ['bytes=9-', 10, { first: 9, last: 9 }],
  ['bytes=-3', 10, { first: 7, last: 9 }],
  ['bytes=-30', 10, { first: 0, last: 9 }],
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=10-20', 10, 'unsatisfiable'],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=0-', 0, 'unsatisfiable'],
  ['bytes=-5', 0, 'unsatisfiable'],
  ['bytes=5-3', 10, null],
  ['bytes=-', 10, null],
  ['bytes=0-1,3-4', 10, null],
  ['bytes=a-b', 10, null],
  ['bytes= 0-1', 10, null],
  ['items=0-1', 10, null],
  ['bytes=1e3-', 10, null],
  ['bytes=9999999999999999-', 10, null],
])('%s of %i bytes', (header, size, expected) => {
  expect(parseRange(header, size)).toEqual(expected);
});
