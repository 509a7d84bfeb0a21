import { typeText, WASI_MODULE, WASI_TYPES } from './wasi-imports.ts';
import { checkBody, checkValueType } from './wasm-code.ts';
import { leb, ModuleRefused, WasmReader } from './wasm-reader.ts';

/**
 * Which WebAssembly modules the grid runs. The coordinator asks at submission and the executor asks again before each
 * run, so an agent never depends on what somebody else checked.
 *
 * A module is one that gives the same bytes on every machine and cannot take more memory than its limit:
 * it exports `_start` and one memory, imports nothing but WASI preview 1, and uses WebAssembly 2.0 without threads.
 *
 * This file and what it imports stay free of other packages: the executor's child may read nothing but a few named files.
 */

/** Longer modules are refused unread. */
export const MAX_MODULE_BYTES = 32 * 1024 * 1024;
const MAX_SECTIONS = 1000;
const MAX_TYPES = 100_000;
const MAX_FUNCTIONS = 200_000;
const MAX_IMPORTS = 1000;
const MAX_EXPORTS = 10_000;
const MAX_TABLES = 8;
const MAX_TABLE_ELEMENTS = 100_000;
const PAGES_PER_MIB = 16;

export type ModuleVerdict =
  /** `module` is a copy whose memory and tables cannot grow past the limits: run this one, never the original. */
  { ok: true; module: Uint8Array<ArrayBuffer> } | { ok: false; reason: string };

/** What a module may export to be run in steps, and to go on from a checkpoint. */
const STEP_TYPES = new Map([
  ['corpgrid_step', typeText([], ['i32'])],
  ['corpgrid_checkpoint', typeText([], [])],
  ['corpgrid_restore', typeText([], [])],
]);

/** Section ids in the order in which they must come. 12 (data count) stands before the code; 13 (exceptions) is refused. */
const SECTION_ORDER = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11];
const SECTION = { custom: 0, type: 1, import: 2, function: 3, table: 4, memory: 5, export: 7, start: 8, code: 10 } as const;

/** Checks a module and bounds its memory. Pure; takes about 10 ms for each MiB of module. Never throws on hostile bytes. */
export function validateModule(bytes: Uint8Array, limits: { memoryMiB: number }): ModuleVerdict {
  try {
    const module = inspect(bytes, limits.memoryMiB);
    // What is left to the engine: types, nesting, indices, and the sections that the walk only steps over.
    if (!WebAssembly.validate(module)) return { ok: false, reason: 'the module is not valid WebAssembly' };
    return { ok: true, module };
  } catch (error) {
    if (error instanceof ModuleRefused) return { ok: false, reason: error.message };
    throw error;
  }
}

/** What one section says that a later one is checked against. */
interface Seen {
  /** Where each function type begins. */
  types: number[];
  /** Type index of each function, the imported ones first. */
  functions: number[];
  memories: number;
}

function inspect(bytes: Uint8Array, memoryMiB: number): Uint8Array<ArrayBuffer> {
  if (bytes.length > MAX_MODULE_BYTES) throw new ModuleRefused(`the module has ${bytes.length} bytes; the limit is ${MAX_MODULE_BYTES}`);
  const reader = new WasmReader(bytes);
  for (const expected of [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]) {
    if (reader.done || reader.byte() !== expected) throw new ModuleRefused('this is not a core WebAssembly module (version 1)');
  }
  const seen: Seen = { types: [], functions: [], memories: 0 };
  const exported = { start: false, memory: false };
  const parts: Uint8Array[] = [bytes.subarray(0, 8)];
  let last = -1;
  while (!reader.done) {
    if (parts.length > MAX_SECTIONS) throw new ModuleRefused(`it has more than ${MAX_SECTIONS} sections`);
    const begin = reader.at;
    const id = reader.byte();
    const section = reader.piece(reader.u32());
    const original = bytes.subarray(begin, reader.at);
    if (id === SECTION.custom) {
      parts.push(original);
      continue;
    }
    const place = SECTION_ORDER.indexOf(id);
    if (place < 0) throw new ModuleRefused(`section ${id} is not in WebAssembly 2.0`);
    if (place <= last) throw new ModuleRefused(`section ${id} comes twice or too late`);
    last = place;
    parts.push(inspectSection(id, section, { seen, exported, memoryMiB }) ?? original);
  }
  if (!exported.start) throw new ModuleRefused('it exports no function `_start`, with which a job begins');
  if (!exported.memory) throw new ModuleRefused('it exports no memory named `memory`');
  return concatenate(parts);
}

/** Answers the section's replacement where it has to be bounded. */
function inspectSection(
  id: number,
  section: WasmReader,
  { seen, exported, memoryMiB }: { seen: Seen; exported: { start: boolean; memory: boolean }; memoryMiB: number },
): Uint8Array | undefined {
  let replacement: Uint8Array | undefined;
  switch (id) {
    case SECTION.type:
      readTypes(section, seen);
      break;
    case SECTION.import:
      readImports(section, seen);
      break;
    case SECTION.function:
      readFunctions(section, seen);
      break;
    case SECTION.table:
      replacement = boundTables(section);
      break;
    case SECTION.memory:
      replacement = boundMemory(section, seen, memoryMiB * PAGES_PER_MIB);
      break;
    case SECTION.export:
      readExports(section, seen, exported);
      break;
    case SECTION.start:
      throw new ModuleRefused(
        'it has a start section; build it so that everything begins in `_start` (AssemblyScript: --exportStart _start)',
      );
    case SECTION.code:
      readCode(section);
      break;
    default:
      return undefined; // globals, elements, data: constants that the engine validates
  }
  if (!section.done) throw new ModuleRefused(`section ${id} is longer than its content`);
  return replacement;
}

function countOf(section: WasmReader, limit: number, what: string): number {
  const count = section.u32();
  if (count > limit) throw new ModuleRefused(`it has ${count} ${what}; the limit is ${limit}`);
  return count;
}

function readTypes(section: WasmReader, seen: Seen): void {
  const count = countOf(section, MAX_TYPES, 'types');
  for (let i = 0; i < count; i++) {
    seen.types.push(section.at);
    readType(section);
  }
}

function readType(section: WasmReader): string {
  const form = section.byte();
  if (form !== 0x60) throw new ModuleRefused('it declares a type that is not a function type (WebAssembly 2.0 has no others)');
  const list = (): string[] => {
    const names: string[] = [];
    for (let n = countOf(section, 1000, 'values in one type'); n > 0; n--) names.push(checkValueType(section.byte()));
    return names;
  };
  const parameters = list();
  return typeText(parameters, list());
}

function typeOf(section: WasmReader, seen: Seen, type: number | undefined): string {
  const at = type === undefined ? undefined : seen.types[type];
  if (at === undefined) throw new ModuleRefused('a function has a type that does not exist');
  return readType(new WasmReader(section.bytes, at));
}

function readImports(section: WasmReader, seen: Seen): void {
  const unknown: string[] = [];
  for (let n = countOf(section, MAX_IMPORTS, 'imports'); n > 0; n--) {
    const module = section.name();
    const name = section.name();
    const kind = section.byte();
    const wanted = module === WASI_MODULE ? WASI_TYPES.get(name) : undefined;
    if (kind !== 0)
      throw new ModuleRefused(`it imports ${module}.${name}, which is no function; only functions of ${WASI_MODULE} are offered`);
    const type = section.u32();
    seen.functions.push(type);
    if (wanted === undefined) {
      unknown.push(`${module}.${name}`);
      continue;
    }
    const actual = typeOf(section, seen, type);
    if (actual !== wanted) throw new ModuleRefused(`it imports ${name} as ${actual}; WASI preview 1 has ${wanted}`);
  }
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 10).join(', ') + (unknown.length > 10 ? ` and ${unknown.length - 10} more` : '');
    throw new ModuleRefused(`it imports ${shown}; only functions of ${WASI_MODULE} are offered`);
  }
}

function readFunctions(section: WasmReader, seen: Seen): void {
  for (let n = countOf(section, MAX_FUNCTIONS, 'functions'); n > 0; n--) seen.functions.push(section.u32());
}

function readLimits(section: WasmReader, what: string): { min: number; max: number } {
  const flags = section.byte();
  if (flags & 2) throw new ModuleRefused(`its ${what} is shared between threads`);
  if (flags & 4) throw new ModuleRefused(`its ${what} has 64-bit addresses`);
  if (flags & ~1) throw new ModuleRefused(`its ${what} has limits of an unknown form`);
  const min = section.u32();
  return { min, max: flags & 1 ? section.u32() : Number.POSITIVE_INFINITY };
}

function boundTables(section: WasmReader): Uint8Array {
  const count = countOf(section, MAX_TABLES, 'tables');
  const body = leb(count);
  for (let i = 0; i < count; i++) {
    const type = section.byte();
    if (type !== 0x70 && type !== 0x6f) throw new ModuleRefused('it has a table of a kind that is not in WebAssembly 2.0');
    const { min, max } = readLimits(section, 'table');
    if (min > MAX_TABLE_ELEMENTS) throw new ModuleRefused(`its table has ${min} elements; the limit is ${MAX_TABLE_ELEMENTS}`);
    body.push(type, 1, ...leb(min), ...leb(Math.min(max, MAX_TABLE_ELEMENTS)));
  }
  return sectionOf(SECTION.table, body);
}

function boundMemory(section: WasmReader, seen: Seen, maxPages: number): Uint8Array {
  const count = section.u32();
  if (count !== 1) throw new ModuleRefused(`it has ${count} memories; exactly one is needed`);
  seen.memories = count;
  const { min, max } = readLimits(section, 'memory');
  if (min > maxPages) {
    const wanted = Math.ceil(min / PAGES_PER_MIB);
    throw new ModuleRefused(`it wants ${wanted} MiB of memory to begin with; limits.memoryMiB is ${maxPages / PAGES_PER_MIB}`);
  }
  return sectionOf(SECTION.memory, [1, 1, ...leb(min), ...leb(Math.min(max, maxPages))]);
}

function readExports(section: WasmReader, seen: Seen, exported: { start: boolean; memory: boolean }): void {
  for (let n = countOf(section, MAX_EXPORTS, 'exports'); n > 0; n--) {
    const name = section.name();
    const kind = section.byte();
    const index = section.u32();
    if (name === 'memory' && kind === 2 && seen.memories === 1) exported.memory = true;
    if (name === '_start' && kind === 0) {
      const actual = typeOf(section, seen, seen.functions[index]);
      if (actual !== typeText([], [])) throw new ModuleRefused(`its _start is ${actual}; it must take and answer nothing`);
      exported.start = true;
    }
    const wanted = kind === 0 ? STEP_TYPES.get(name) : undefined;
    const actual = wanted === undefined ? undefined : typeOf(section, seen, seen.functions[index]);
    if (actual !== wanted) throw new ModuleRefused(`its ${name} is ${actual}; it must be ${wanted}`);
  }
}

function readCode(section: WasmReader): void {
  for (let n = countOf(section, MAX_FUNCTIONS, 'function bodies'); n > 0; n--) checkBody(section.piece(section.u32()));
}

function sectionOf(id: number, body: readonly number[]): Uint8Array {
  return Uint8Array.from([id, ...leb(body.length), ...body]);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
