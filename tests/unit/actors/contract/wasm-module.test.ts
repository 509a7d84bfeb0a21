import { readFileSync } from 'node:fs';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { MAX_MODULE_BYTES, validateModule } from '#actors/contract/wasm-module.ts';
import { leb } from '#actors/contract/wasm-reader.ts';
import { buildModule, HEADER, I32, I64, i32, section, text, vector, WASI } from '#tests/support/module-builder.ts';

const LIMITS = { memoryMiB: 16 };
const PAGES = LIMITS.memoryMiB * 16;

function reasonFor(bytes: Uint8Array): string {
  const verdict = validateModule(bytes, LIMITS);
  if (verdict.ok) throw new Error('the module was accepted');
  return verdict.reason;
}

function exampleModule(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../../../../examples/${name}/${name}.wasm`, import.meta.url)));
}

function memoryOf(module: Uint8Array<ArrayBuffer>): WebAssembly.Memory {
  const { memory } = new WebAssembly.Instance(new WebAssembly.Module(module), {}).exports;
  if (!(memory instanceof WebAssembly.Memory)) throw new Error('no memory');
  return memory;
}

describe('modules that run', () => {
  it('accepts a module with nothing but _start and memory', () => {
    expect(validateModule(buildModule(), LIMITS).ok).toBe(true);
  });

  it.each(['word-count', 'render'])('accepts the example %s', (name) => {
    expect(validateModule(exampleModule(name), LIMITS).ok).toBe(true);
  });

  it('gives a memory without a maximum the limit as its maximum', () => {
    const verdict = validateModule(buildModule({ memory: [1, 0, 1] }), LIMITS);
    const memory = memoryOf(verdict.ok ? verdict.module : new Uint8Array());
    expect(memory.grow(PAGES - 1)).toBe(1);
    expect(() => memory.grow(1)).toThrow(RangeError);
  });

  it('keeps a maximum that is below the limit, and lowers one above it', () => {
    for (const [declared, kept] of [
      [5, 5],
      [PAGES + 1, PAGES],
    ] as const) {
      const verdict = validateModule(buildModule({ memory: [1, 1, 1, ...leb(declared)] }), LIMITS);
      const memory = memoryOf(verdict.ok ? verdict.module : new Uint8Array());
      expect(memory.grow(kept - 1)).toBe(1);
      expect(() => memory.grow(1)).toThrow(RangeError);
    }
  });

  it('takes no constant for an instruction: 0xfe inside a number is no thread', () => {
    expect(validateModule(buildModule({ start: [...i32(0x7e), 0x1a, 0x41, 0xfe, 0x00, 0x1a] }), LIMITS).ok).toBe(true);
  });

  it('accepts fixed-width SIMD, bulk memory, tables and tail calls', () => {
    const v128 = [0xfd, 12, ...Array.from({ length: 16 }, () => 0xfe)];
    const simd = [...v128, ...v128, 0xfd, 0xae, 0x01, 0x1a]; // i32x4.add
    const bulk = [...i32(0), ...i32(1), ...i32(2), 0xfc, 11, 0]; // memory.fill
    const table = [0xd0, 0x70, ...i32(1), 0xfc, 15, 0, 0x1a]; // table.grow
    const tail = [0x12, 0];
    const verdict = validateModule(buildModule({ start: [...simd, ...bulk, ...table, ...tail], sections: { 4: [1, 0x70, 0, 1] } }), LIMITS);
    expect(verdict).toMatchObject({ ok: true });
  });
});

describe('what would not run the same everywhere', () => {
  // Each of these is valid for the engine: the refusal is ours.
  it.each([
    ['an atomic fence', [0xfe, 3, 0], /threads/],
    ['an atomic load', [...i32(0), 0xfe, 0x10, 2, 0, 0x1a], /threads/],
    ['a relaxed swizzle', [...i32(0), 0xfd, 17, ...i32(0), 0xfd, 17, 0xfd, 0x80, 0x02, 0x1a], /relaxed SIMD/],
    ['an exception handler', [0x1f, 0x40, 0, 0x0b], /exceptions/],
    ['a garbage-collected reference', [...i32(0), 0xfb, 28, 0x1a], /garbage-collected/],
  ])('refuses %s', (_name, start, reason) => {
    const module = buildModule({ start });
    expect(WebAssembly.validate(module)).toBe(true);
    expect(reasonFor(module)).toMatch(reason);
  });

  it('finds the instruction behind a longer spelling of its number', () => {
    // 0x80 0x82 0x00: relaxed SIMD 0x100 with a needless third byte.
    expect(reasonFor(buildModule({ start: [0xfd, 0x80, 0x82, 0x00] }))).toMatch(/relaxed SIMD/);
  });

  it.each([
    ['shared memory', [1, 3, 1, 2], /shared/],
    ['64-bit memory', [1, 4, 1], /64-bit/],
    ['two memories', [2, 0, 1, 0, 1], /2 memories/],
    ['no memory', [0], /0 memories/],
    ['custom page sizes', [1, 8, 1, 0], /unknown form/],
  ])('refuses %s', (_name, memory, reason) => {
    expect(reasonFor(buildModule({ memory }))).toMatch(reason);
  });

  it('refuses a start section, which would run before the memory is known', () => {
    expect(reasonFor(buildModule({ sections: { 8: [0] } }))).toMatch(/start section.*_start/);
  });

  it('refuses exception tags and types that are no functions', () => {
    expect(reasonFor(buildModule({ sections: { 13: [1, 0, 0] } }))).toMatch(/section 13/);
    expect(reasonFor(buildModule({ sections: { 1: [1, 0x5f, 0] } }))).toMatch(/not a function type/);
  });
});

describe('imports and exports', () => {
  it('names every unknown import', () => {
    const nothing = { parameters: [], results: [] };
    const imports = [WASI.fd_read, { ...nothing, name: 'abort', module: 'env' }, { ...nothing, name: 'fd_reed' }];
    expect(reasonFor(buildModule({ imports }))).toMatch(/imports env\.abort, wasi_snapshot_preview1\.fd_reed;/);
  });

  it('knows no import by a name of JavaScript', () => {
    for (const name of ['toString', '__proto__', 'constructor']) {
      expect(reasonFor(buildModule({ imports: [{ name, parameters: [], results: [] }] }))).toContain(name);
    }
  });

  it('refuses a known name with another type', () => {
    const imports = [{ name: 'fd_seek', parameters: [I32, I32, I32, I32], results: [I32] }];
    expect(reasonFor(buildModule({ imports }))).toBe(
      'it imports fd_seek as (i32 i32 i32 i32) -> (i32); WASI preview 1 has (i32 i64 i32 i32) -> (i32)',
    );
    expect(
      validateModule(buildModule({ imports: [{ name: 'fd_seek', parameters: [I32, I64, I32, I32], results: [I32] }] }), LIMITS).ok,
    ).toBe(true);
  });

  it('refuses an imported memory', () => {
    const imported = vector([[...text('env'), ...text('memory'), 2, 0, 1]]);
    expect(reasonFor(buildModule({ sections: { 2: imported } }))).toMatch(/env\.memory, which is no function/);
  });

  it('wants _start, of the right type, and memory', () => {
    const memory = [...text('memory'), 2, 0];
    expect(reasonFor(buildModule({ exports: vector([memory]) }))).toMatch(/no function `_start`/);
    expect(reasonFor(buildModule({ exports: vector([[...text('_start'), 0, 0]]) }))).toMatch(/no memory named `memory`/);
    expect(reasonFor(buildModule({ startType: { parameters: [I32], results: [] } }))).toMatch(/_start is \(i32\) -> \(\)/);
    expect(reasonFor(buildModule({ exports: vector([memory, [...text('_start'), 0, ...leb(77)]]) }))).toMatch(/type that does not exist/);
  });
});

describe('bombs', () => {
  it('refuses more memory to begin with than the limit', () => {
    expect(reasonFor(buildModule({ memory: [1, 0, ...leb(PAGES + 1)] }))).toMatch(/wants 17 MiB .* limits\.memoryMiB is 16/);
  });

  it('refuses large tables and many tables', () => {
    expect(reasonFor(buildModule({ sections: { 4: [1, 0x70, 0, ...leb(10_000_000)] } }))).toMatch(/table has 10000000 elements/);
    expect(reasonFor(buildModule({ sections: { 4: [9] } }))).toMatch(/9 tables/);
  });

  it('bounds what a table may grow to', () => {
    const grow = (by: number): number[] => [0xd0, 0x70, ...i32(by), 0xfc, 15, 0];
    // Traps unless growing by 100,000 fails: the table has one element and may have 100,000.
    const start = [...grow(100_000), ...i32(-1), 0x47, 0x04, 0x40, 0x00, 0x0b];
    const verdict = validateModule(buildModule({ start, sections: { 4: [1, 0x70, 0, 1] } }), LIMITS);
    const { _start } = new WebAssembly.Instance(new WebAssembly.Module(verdict.ok ? verdict.module : new Uint8Array()), {}).exports;
    expect(() => (_start as () => void)()).not.toThrow();
  });

  it.each([
    ['types', 1, /types; the limit/],
    ['functions', 3, /functions; the limit/],
    ['exports', 7, /exports; the limit/],
  ])('refuses to count to four billion %s', (_name, id, reason) => {
    expect(reasonFor(buildModule({ sections: { [id]: leb(0xffff_ffff) } }))).toMatch(reason);
  });

  it('refuses a module of a million empty sections', () => {
    expect(reasonFor(Uint8Array.from([...HEADER, ...Array.from({ length: 4000 }, () => 0)]))).toMatch(/more than 1000 sections/);
  });

  it('does not read a module that is too long', () => {
    expect(reasonFor(new Uint8Array(MAX_MODULE_BYTES + 1))).toMatch(/33554433 bytes/);
  });
});

describe('damage', () => {
  it('refuses every beginning of a module', () => {
    const whole = buildModule({ imports: [WASI.fd_read], start: [...i32(1), 0x1a] });
    for (let length = 0; length < whole.length; length++) expect(validateModule(whole.subarray(0, length), LIMITS).ok).toBe(false);
  });

  it.each([
    ['another format', Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0]), /not a core WebAssembly module/],
    ['a component', Uint8Array.from([0, 0x61, 0x73, 0x6d, 13, 0, 1, 0]), /not a core WebAssembly module/],
    ['a section twice', Uint8Array.from([...buildModule(), ...section(10, [0])]), /twice or too late/],
    ['a section of the future', Uint8Array.from([...HEADER, ...section(99, [])]), /section 99/],
    ['bytes behind a section’s content', buildModule({ sections: { 3: [1, 0, 0] } }), /longer than its content/],
    ['a number of six bytes', Uint8Array.from([...HEADER, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), /32 bits/],
    ['a number above 32 bits', Uint8Array.from([...HEADER, 1, 0xff, 0xff, 0xff, 0xff, 0x7f]), /32 bits/],
    ['wrong types', buildModule({ start: [0x6a] }), /not valid WebAssembly/],
    ['an unknown instruction', buildModule({ start: [0xff] }), /0xff at byte \d+ is not in WebAssembly 2\.0/],
  ])('refuses %s', (_name, bytes, reason) => {
    expect(reasonFor(bytes)).toMatch(reason);
  });

  it('never throws and never lets the engine disagree, whatever bytes are changed', () => {
    const whole = exampleModule('word-count');
    const change = fc.tuple(fc.nat(whole.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const damaged = whole.slice();
        for (const [at, byte] of changes) damaged[at] = byte;
        const verdict = validateModule(damaged, LIMITS);
        return verdict.ok ? WebAssembly.validate(verdict.module) : verdict.reason.length > 0 && verdict.reason.length < 2000;
      }),
      { numRuns: 1000, seed: 7 },
    );
  });
});
