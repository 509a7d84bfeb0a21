import { ModuleRefused, type WasmReader } from './wasm-reader.ts';

/**
 * Walks one function body instruction by instruction and refuses what does not give the same result everywhere.
 *
 * Allowed: WebAssembly 2.0 (numbers, bulk memory, reference types, fixed-width SIMD) and tail calls. Refused by name:
 * threads (their interleaving differs), relaxed SIMD (its results differ between processors), exceptions (a `catch_all`
 * would see the host's own `proc_exit`), garbage-collected objects and whatever else is not in the table below.
 * The walk is sound because it decodes like the engine does, byte after byte, and stops at the first unknown byte.
 * Types and nesting are left to the engine's own validation.
 *
 * Source: WebAssembly Core Specification 2.0, chapter 5.4.
 */
export function checkBody(body: WasmReader): void {
  const groups = body.u32();
  for (let i = 0; i < groups; i++) {
    body.u32();
    checkValueType(body.byte());
  }
  while (!body.done) skipInstruction(body);
}

const VALUE_TYPES: ReadonlyMap<number, string> = new Map([
  [0x7f, 'i32'],
  [0x7e, 'i64'],
  [0x7d, 'f32'],
  [0x7c, 'f64'],
  [0x7b, 'v128'],
  [0x70, 'funcref'],
  [0x6f, 'externref'],
]);

/** The name of a value type of WebAssembly 2.0; others are refused. */
export function checkValueType(byte: number): string {
  const name = VALUE_TYPES.get(byte);
  if (name === undefined) throw new ModuleRefused(`value type ${hex(byte)} is not in WebAssembly 2.0`);
  return name;
}

/** What follows an opcode. One letter for each immediate, see `skipImmediates`. */
const IMMEDIATES: readonly (string | undefined)[] = (() => {
  const table = Array.from<string | undefined>({ length: 256 });
  const set = (from: number, to: number, immediates: string): void => {
    for (let op = from; op <= to; op++) table[op] = immediates;
  };
  set(0x00, 0x01, ''); // unreachable, nop
  set(0x02, 0x04, 'b'); // block, loop, if
  set(0x05, 0x05, ''); // else
  set(0x0b, 0x0b, ''); // end
  set(0x0c, 0x0d, 'u'); // br, br_if
  set(0x0e, 0x0e, 'j'); // br_table
  set(0x0f, 0x0f, ''); // return
  set(0x10, 0x10, 'u'); // call
  set(0x11, 0x11, 'uu'); // call_indirect
  set(0x12, 0x12, 'u'); // return_call
  set(0x13, 0x13, 'uu'); // return_call_indirect
  set(0x1a, 0x1b, ''); // drop, select
  set(0x1c, 0x1c, 't'); // select with types
  set(0x20, 0x26, 'u'); // local.*, global.*, table.get, table.set
  set(0x28, 0x3e, 'm'); // loads and stores
  set(0x3f, 0x40, 'z'); // memory.size, memory.grow
  set(0x41, 0x41, 's'); // i32.const
  set(0x42, 0x42, 'l'); // i64.const
  set(0x43, 0x43, '4'); // f32.const
  set(0x44, 0x44, '8'); // f64.const
  set(0x45, 0xc4, ''); // comparisons, arithmetic, conversions, sign extension
  set(0xd0, 0xd0, 'v'); // ref.null
  set(0xd1, 0xd1, ''); // ref.is_null
  set(0xd2, 0xd2, 'u'); // ref.func
  return table;
})();

/** Opcodes behind 0xFC: saturating conversions, bulk memory, tables. */
const BULK = ['', '', '', '', '', '', '', '', 'uz', 'u', 'zz', 'z', 'uu', 'u', 'uu', 'u', 'u', 'u'];

const FAMILIES: ReadonlyMap<number, string> = new Map([
  [0x06, 'exceptions'],
  [0x07, 'exceptions'],
  [0x08, 'exceptions'],
  [0x09, 'exceptions'],
  [0x0a, 'exceptions'],
  [0x18, 'exceptions'],
  [0x19, 'exceptions'],
  [0x1f, 'exceptions'],
  [0xfb, 'garbage-collected objects'],
  [0xfe, 'threads (atomic operations)'],
]);

function skipInstruction(body: WasmReader): void {
  const at = body.at;
  const opcode = body.byte();
  if (opcode === 0xfd) return skipVector(body, at);
  if (opcode === 0xfc) {
    const sub = body.u32();
    const immediates = BULK[sub];
    if (immediates === undefined) throw new ModuleRefused(`instruction 0xfc ${sub} at byte ${at} is not in WebAssembly 2.0`);
    return skipImmediates(body, immediates);
  }
  const immediates = IMMEDIATES[opcode];
  if (immediates === undefined) {
    const family = FAMILIES.get(opcode);
    throw new ModuleRefused(
      family === undefined
        ? `instruction ${hex(opcode)} at byte ${at} is not in WebAssembly 2.0`
        : `it uses ${family} (instruction ${hex(opcode)} at byte ${at}), which cannot run here`,
    );
  }
  if (immediates !== '') skipImmediates(body, immediates);
}

function skipVector(body: WasmReader, at: number): void {
  const sub = body.u32();
  if (sub >= 0x100) {
    throw new ModuleRefused(`it uses relaxed SIMD (instruction 0xfd ${hex(sub)} at byte ${at}), whose results differ between processors`);
  }
  if (sub <= 11 || sub === 92 || sub === 93) skipImmediates(body, 'm');
  else if (sub <= 13) body.skip(16); // v128.const, i8x16.shuffle
  else if (sub >= 21 && sub <= 34) body.skip(1); // lanes
  else if (sub >= 84 && sub <= 91) skipImmediates(body, 'm1');
}

function skipImmediates(body: WasmReader, immediates: string): void {
  for (const kind of immediates) {
    if (kind === 'u') body.u32();
    else if (kind === 's') body.skipNumber(5);
    else if (kind === 'l') body.skipNumber(10);
    else if (kind === 'b') skipBlockType(body);
    else if (kind === 'm') skipMemoryArgument(body);
    else if (kind === 'z') requireZero(body);
    else if (kind === 'v') checkValueType(body.byte());
    else if (kind === 'j') skipVectorOf(body, () => body.u32(), 1);
    else if (kind === 't') skipVectorOf(body, () => checkValueType(body.byte()), 0);
    else body.skip(Number(kind));
  }
}

function skipVectorOf(body: WasmReader, item: () => unknown, more: number): void {
  const count = body.u32() + more;
  for (let i = 0; i < count; i++) item();
}

/** Empty, one value type, or the index of a function type: a non-negative number of 33 bits. */
function skipBlockType(body: WasmReader): void {
  const first = body.byte();
  if (first === 0x40 || VALUE_TYPES.has(first)) return;
  if (first < 0x40) return;
  if (first < 0x80) throw new ModuleRefused(`value type ${hex(first)} is not in WebAssembly 2.0`);
  body.skipNumber(4);
}

function skipMemoryArgument(body: WasmReader): void {
  // Bit 6 of the alignment announces the index of one of several memories.
  if (body.u32() >= 64) throw new ModuleRefused('it uses more than one memory');
  body.u32();
}

function requireZero(body: WasmReader): void {
  if (body.byte() !== 0) throw new ModuleRefused('it uses more than one memory');
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`;
}
