import { expect, it } from 'vitest';
import { parseInt8 } from '#runtime/database/orm.ts';

it('a bigint comes as the very number it is, or not at all', () => {
  expect(parseInt8('9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
  expect(parseInt8('-42')).toBe(-42);
  expect(() => parseInt8('9007199254740992')).toThrow(RangeError);
  expect(() => parseInt8('-9223372036854775808')).toThrow('cast it to text');
});
