import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { GridError } from '#runtime/errors.ts';
import { MAX_RECORD_KEY_BYTES, MAX_RECORD_KEYS, MAX_VALUES } from '#runtime/link/audit.ts';
import { createCodec } from '#runtime/link/codec.ts';
import { MAX_DEPTH, messageSize } from '#runtime/link/message-size.ts';
import { LinkViolation } from '#runtime/link/violation.ts';

const LIMIT = 8 * 1024 * 1024;
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const decode = (encoded: Uint8Array): unknown => createCodec().decode(encoded);

/** Buffers are Uint8Arrays for us, but not for `toEqual`. */
function plainBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (Array.isArray(value)) return value.map(plainBytes);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, element]) => [key, plainBytes(element)]));
}

/** What the link carries. Keys from a small set meet again (records), others do not. */
const keys = fc
  .oneof(fc.constantFrom('type', 'job', 'shard', 'state', 'e'), fc.string({ unit: 'grapheme', maxLength: 80 }))
  .filter((key) => !['__proto__', '__keys__'].includes(key));
const message: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 300 }),
      fc.integer(),
      fc.integer({ min: -(2 ** 53), max: 2 ** 53 }),
      fc.double().map((n) => (Object.is(n, -0) ? 0 : n)),
      fc.boolean(),
      fc.constantFrom(null, undefined),
      fc.uint8Array({ maxLength: 400 }),
    ),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.array(fc.tuple(keys, tie('value')), { maxLength: 80 }).map((entries) => Object.fromEntries(entries)),
  ),
})).value;

describe('the codec', () => {
  it('carries every message that messageSize accepts, over one connection, within the size that it foretold', () => {
    fc.assert(
      fc.property(fc.array(fc.array(message, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 12 }), (batches) => {
        const sender = createCodec();
        const receiver = createCodec();
        for (const batch of batches) {
          const foretold = batch.reduce<number>((sum, one) => sum + messageSize(one, LIMIT), 0);
          const encoded = sender.encode(batch);
          expect(encoded.length).toBeLessThanOrEqual(foretold + 5);
          expect(plainBytes(receiver.decode(encoded))).toEqual(plainBytes(batch));
        }
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it('holds a bounded number of shapes and recycles them', () => {
    const sender = createCodec();
    const receiver = createCodec();
    for (let i = 0; i < 3_000; i++) {
      const shape = Object.fromEntries(Array.from({ length: (i % 7) + 1 }, (_, k) => [`k${(i * 7 + k * 13) % 300}`, i]));
      const batch = [shape, { outer: { ['inner' + (i % 90)]: i } }];
      expect(receiver.decode(sender.encode(batch))).toEqual(batch);
    }
  });

  it('sends the keys of a shape once per connection', () => {
    const sender = createCodec();
    const note = { type: 'shard.progress', job: 1, shard: 2 };
    const first = sender.encode([note]).length;
    expect(sender.encode([note]).length).toBeLessThan(first - 'typejobshard'.length);
  });

  it('carries tables with more or longer keys than a record may have', () => {
    const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`key ${i}`, i]));
    const long = { ['x'.repeat(1_000)]: 1 };
    expect(decode(createCodec().encode([many, long]))).toEqual([many, long]);
  });

  it('decodes byte arrays into memory of their own', () => {
    const encoded = Uint8Array.from(createCodec().encode([bytes(1, 2, 3)]));
    const [copy] = decode(encoded) as Uint8Array[];
    encoded.fill(0);
    expect(Uint8Array.from(copy ?? [])).toEqual(bytes(1, 2, 3));
  });
});

describe('messageSize', () => {
  it('refuses what the link cannot carry, and says where', () => {
    class Custom {
      readonly field = 1;
    }
    const values: [unknown, string][] = [
      [new Date(0), 'an instance of Date'],
      [new Map(), 'an instance of Map'],
      [new Custom(), 'an instance of Custom'],
      [new Float64Array(1), 'an instance of Float64Array'],
      [1n, 'a bigint'],
      [() => 1, 'a function'],
      [Symbol('s'), 'a symbol'],
      [JSON.parse('{"__proto__": 1}'), 'the reserved key __proto__'],
      [{ __keys__: 1 }, 'the reserved key __keys__'],
    ];
    for (const [value, what] of values) {
      expect(() => messageSize({ outer: { field: value } }, LIMIT)).toThrow(`The link does not carry ${what} below the key "field".`);
      expect(() => messageSize({ outer: { field: value } }, LIMIT)).toThrow(GridError);
    }
  });

  it('ends on a message that contains itself, also when it does so many times', () => {
    const loop: unknown[] = [];
    loop.push(loop, loop, loop);
    expect(() => messageSize(loop, LIMIT)).toThrow('nesting deeper');
    const wide: unknown[] = [];
    for (let i = 0; i < 100; i++) wide.push('x'.repeat(1_000), wide);
    expect(() => messageSize(wide, 10_000)).toThrow('more than 10000 bytes');
  });

  it('allows nesting exactly as deep as the other end does', () => {
    let deep: unknown = 1;
    for (let i = 0; i < MAX_DEPTH; i++) deep = i % 2 === 0 ? [deep] : { deep };
    expect(messageSize(deep, LIMIT)).toBeGreaterThan(0);
    expect(decode(createCodec().encode([deep]))).toEqual([deep]);
    expect(() => messageSize([deep], LIMIT)).toThrow('nesting deeper');
    expect(() => decode(createCodec().encode([[deep]]))).toThrow(LinkViolation);
  });
});

describe('hostile bytes', () => {
  it('end in a LinkViolation or in a value, never in anything else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), (inputs) => {
        const codec = createCodec();
        for (const input of inputs) expectHarmless(() => codec.decode(input));
      }),
      { seed: 2, numRuns: 5_000 },
    );
  });

  it('do no harm when they are true messages with some bytes changed, cut or repeated', () => {
    const damage = fc.array(fc.record({ at: fc.nat(), to: fc.integer({ min: 0, max: 255 }) }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 4 }), damage, fc.nat(), (batch, changes, cut) => {
        const encoded = Uint8Array.from(createCodec().encode(batch));
        expect(() => decode(encoded.subarray(0, cut % encoded.length))).toThrow(LinkViolation);
        for (const { at, to } of changes) encoded[at % encoded.length] = to;
        expectHarmless(() => decode(encoded));
        expectHarmless(() => decode(Buffer.concat([encoded, encoded])));
      }),
      { seed: 3, numRuns: 1_000 },
    );
  });

  it('cannot reach extensions, references or integers beyond the safe ones', () => {
    const regExp = bytes(0xd4, 0x78, 0, 0x92, 0xa1, 0x61, 0xa1, 0x67);
    const error = bytes(0xd4, 0x65, 0, 0x92, 0xa1, 0x61, 0xa1, 0x67);
    const date = bytes(0xd6, 0xff, 0, 0, 0, 0);
    const reference = bytes(0xd6, 0x70, 0, 0, 0, 1);
    const typedArray = bytes(0xc7, 2, 0x74, 1, 0);
    const bigint = bytes(0xcf, 255, 255, 255, 255, 255, 255, 255, 255);
    for (const input of [regExp, error, date, reference, typedArray, bigint, bytes(0xc1), bytes(0xca, 0, 0, 0, 0)])
      expect(() => decode(input)).toThrow(LinkViolation);
  });

  it('cannot promise more than they hold', () => {
    const claims = [
      bytes(0xdd, 255, 255, 255, 255),
      bytes(0xdf, 255, 255, 255, 255),
      bytes(0xc6, 255, 255, 255, 255),
      bytes(0xdb, 255, 255, 255, 255),
      bytes(0xdc, 255, 255),
      bytes(0xd9),
    ];
    for (const input of claims) expect(() => decode(input)).toThrow('in the middle of a value');
  });

  it('cannot use records that were not defined, or stuff the table of records', () => {
    expect(() => decode(bytes(0x41, 1))).toThrow('never defined');
    expect(() => decode(bytes(0xd4, 0x72, 0x20, 0x90))).toThrow('has the id 32');
    expect(() => decode(bytes(0xd4, 0x72, 0x40, 0xdc, 0, MAX_RECORD_KEYS + 1))).toThrow('too many keys');
    const longKey = Buffer.concat([
      bytes(0xd4, 0x72, 0x40, 0x91, 0xda, 0, MAX_RECORD_KEY_BYTES + 1),
      Buffer.alloc(MAX_RECORD_KEY_BYTES + 1, 0x61),
      bytes(1),
    ]);
    expect(() => decode(longKey)).toThrow('too long');
    expect(() => decode(bytes(0xd4, 0x72, 0x40, 0x91, 0x01, 0x01))).toThrow('not a string');
  });

  it('cannot swell: values and nesting are counted before anything is made of them', () => {
    const swollen = Buffer.concat([bytes(0xdd, 0, 0x20, 0, 0), Buffer.alloc(0x200000, 0x80)]);
    expect(() => decode(swollen)).toThrow(`more than ${MAX_VALUES} values`);
    expect(() => decode(Buffer.alloc(100_000, 0x91))).toThrow('nested deeper');
    const recursive = Buffer.concat([bytes(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61), Buffer.alloc(100_000, 0x40)]);
    expect(() => decode(recursive)).toThrow('nested deeper');
  });

  it('cannot set the prototype of an object', () => {
    const proto = Buffer.concat([bytes(0x81, 0xa9), Buffer.from('__proto__'), bytes(0x81, 0xa5), Buffer.from('admin'), bytes(0xc3)]);
    const value = decode(proto) as { admin?: boolean };
    expect(value.admin).toBeUndefined();
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });
});

function expectHarmless(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(LinkViolation);
  }
}
