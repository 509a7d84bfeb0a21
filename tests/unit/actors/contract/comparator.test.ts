import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { Comparator, COMPARABLE_BYTES, groupsOf, isSame, readComparable, type ComparedVote } from '#actors/contract/comparator.ts';
import { sha256Hex } from '#runtime/identity/digest.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const json = Comparator.parse({ type: 'json' });
const absolute = Comparator.parse({ type: 'absolute', tolerance: 0.01 });
const relative = Comparator.parse({ type: 'relative', tolerance: 1e-6 });
const ulp = Comparator.parse({ type: 'ulp', tolerance: 2 });

function same(comparator: Comparator, a: string | Uint8Array, b: string | Uint8Array): boolean {
  const read = (x: string | Uint8Array) => readComparable(comparator, typeof x === 'string' ? utf8(x) : x);
  return isSame(comparator, read(a), read(b));
}

function floats(...numbers: number[]): Uint8Array {
  return new Uint8Array(Float64Array.from(numbers).buffer);
}

describe('two outputs are the same', () => {
  it('by canonical JSON whatever the order of members and the blanks', () => {
    expect(same(json, '{"a":1,"b":[2, 3]}', '{"b":[2,3],"a":1.0}')).toBe(true);
    expect(same(json, '{"a":1}', '{"a":2}')).toBe(false);
    expect(same(json, '{"a":1}', '{"a":1.0000000001}')).toBe(false);
  });

  it('within an absolute or relative tolerance, in every number of a document and nothing else', () => {
    expect(same(absolute, '{"x":[1,2],"name":"n"}', '{"name":"n","x":[1.009,1.995]}')).toBe(true);
    expect(same(absolute, '{"x":[1,2],"name":"n"}', '{"x":[1.02,2],"name":"n"}')).toBe(false);
    expect(same(absolute, '{"x":[1,2],"name":"n"}', '{"x":[1,2],"name":"m"}')).toBe(false);
    expect(same(absolute, '[1,2]', '[1,2,2]')).toBe(false);
    expect(same(absolute, '[1]', '{"0":1}')).toBe(false);
    expect(same(absolute, '{"a":1}', '{"b":1}')).toBe(false);
    expect(same(relative, '1000000', '1000001')).toBe(true);
    expect(same(relative, '1000000', '1000002')).toBe(false);
    expect(same(relative, '0', '1e-300')).toBe(false);
  });

  it('by how many numbers lie between them, across zero and between powers of two', () => {
    const next = 1 + Number.EPSILON;
    expect(same(ulp, JSON.stringify(1), JSON.stringify(next + Number.EPSILON))).toBe(true);
    expect(same(ulp, JSON.stringify(1), JSON.stringify(next + 2 * Number.EPSILON))).toBe(false);
    expect(same(ulp, '0', '-0')).toBe(true);
    expect(same(ulp, String(Number.MIN_VALUE), String(-Number.MIN_VALUE))).toBe(true);
    expect(same(ulp, String(Number.MIN_VALUE), String(-2 * Number.MIN_VALUE))).toBe(false);
  });

  it('as floats one after the other, where no number is only like itself', () => {
    const f64 = Comparator.parse({ type: 'ulp', tolerance: 1, format: 'f64' });
    expect(same(f64, floats(1, 2), floats(1, 2 + 2 * Number.EPSILON))).toBe(true);
    expect(same(f64, floats(1, 2), floats(1))).toBe(false);
    expect(same(f64, floats(Number.NaN), floats(Number.NaN))).toBe(true);
    expect(same(f64, floats(Number.POSITIVE_INFINITY), floats(Number.MAX_VALUE))).toBe(false);
    expect(same(f64, new Uint8Array(7), new Uint8Array(7))).toBe(false);
    const f32 = Comparator.parse({ type: 'ulp', tolerance: 1, format: 'f32' });
    const single = (x: number): Uint8Array => new Uint8Array(Float32Array.of(x).buffer);
    expect(same(f32, single(1), single(1 + 2 ** -23))).toBe(true);
    expect(same(f32, single(1), single(1 + 2 ** -22))).toBe(false);
  });

  it('never for bytes that the comparator cannot read, and reading fails in no other way', () => {
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
    for (const text of ['', '{', 'NaN', '{"a":1', deep]) expect(same(absolute, text, `${text} `)).toBe(false);
    expect(readComparable(absolute, new Uint8Array([0xff, 0xfe]))).toBeNull();
    expect(readComparable(absolute, new Uint8Array(COMPARABLE_BYTES + 1).fill(0x31))).toBeNull();
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom(json, absolute, relative, ulp), (bytes, comparator) => {
        readComparable(comparator, bytes);
      }),
    );
  });

  it('without prototypes that a document could bring along', () => {
    expect(same(absolute, '{"__proto__":1}', '{"__proto__":2}')).toBe(false);
    expect(same(absolute, '{"toString":1}', '{"a":1}')).toBe(false);
  });
});

describe('votes are grouped', () => {
  const vote = (seq: number, text: string): ComparedVote => {
    return { fence: { epoch: 1, seq }, sha256: sha256Hex(utf8(text)), value: readComparable(absolute, utf8(text)) };
  };

  it('by the first member of each group, never by a chain of near ones', () => {
    const [a, b, c] = [vote(1, '1.000'), vote(2, '1.009'), vote(3, '1.018')];
    expect(groupsOf(absolute, [a, b, c])).toEqual([a.sha256, a.sha256, c.sha256]);
  });

  it('the same way in whatever order they came, with every member near the founder', () => {
    const ballots = fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(ballots, fc.infiniteStream(fc.nat()), (steps, order) => {
        const votes = steps.map((step, n) => vote(n + 1, (step / 250).toFixed(3)));
        const groups = new Map(votes.map((one, n) => [one, groupsOf(absolute, votes)[n]]));
        const shuffled = votes.map((one) => ({ one, at: order.next().value })).sort((x, y) => (x.at ?? 0) - (y.at ?? 0));
        const again = groupsOf(
          absolute,
          shuffled.map(({ one }) => one),
        );
        for (const [n, { one }] of shuffled.entries()) {
          expect(again[n]).toBe(groups.get(one));
          const founder = votes.find(({ sha256 }) => sha256 === groups.get(one));
          expect(founder === one || isSame(absolute, founder?.value ?? null, one.value)).toBe(true);
        }
      }),
    );
  });
});

describe('the schema of a comparator', () => {
  it.each([
    [{ type: 'absolute' }],
    [{ type: 'absolute', tolerance: 0 }],
    [{ type: 'relative', tolerance: 0.9 }],
    [{ type: 'ulp', tolerance: 1.5 }],
    [{ type: 'json', tolerance: 1 }],
    [{ type: 'absolute', tolerance: Number.POSITIVE_INFINITY }],
    [{ type: 'absolute', tolerance: 1, format: 'f16' }],
  ])('refuses %j', (comparator) => {
    expect(Comparator.safeParse(comparator).success).toBe(false);
  });
});
