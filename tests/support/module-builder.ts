import { leb } from '#actors/contract/wasm-reader.ts';

/** Assembles WebAssembly modules byte by byte, also ones that no compiler would make. */

export type Bytes = readonly number[];

export const I32 = 0x7f;
export const I64 = 0x7e;

export interface FunctionType {
  readonly parameters: Bytes;
  readonly results: Bytes;
}

export interface ModuleParts {
  /** Functions of WASI by name and type; they get the first indices. */
  readonly imports?: readonly (FunctionType & { readonly name: string; readonly module?: string })[];
  /** The instructions of `_start`, without its final `end`. */
  readonly start?: Bytes;
  readonly locals?: Bytes;
  readonly startType?: FunctionType;
  /** The memory section's content; one page that may grow without bound by default. */
  readonly memory?: Bytes;
  /** Content of sections to add, by id. */
  readonly sections?: Readonly<Record<number, Bytes>>;
  readonly exports?: Bytes;
}

const NOTHING: FunctionType = { parameters: [], results: [] };
const MEMORY_EXPORT = [...text('memory'), 2, 0];

export function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...leb(bytes.length), ...bytes];
}

/** Signed LEB128 of 32 bits. */
export function signed(value: number): number[] {
  const out: number[] = [];
  for (let rest = value; ; rest >>= 7) {
    const byte = rest & 0x7f;
    const last = (rest >> 7 === 0 && !(byte & 0x40)) || (rest >> 7 === -1 && (byte & 0x40) !== 0);
    out.push(last ? byte : byte | 0x80);
    if (last) return out;
  }
}

export function i32(value: number): number[] {
  return [0x41, ...signed(value)];
}

/** i64.const of a small number. */
export function i64(value: number): number[] {
  return [0x42, ...signed(value)];
}

export function call(index: number, ...operands: readonly Bytes[]): number[] {
  return [...operands.flat(), 0x10, ...leb(index)];
}

/** i32.store at a fixed address. */
export function store(address: number, value: Bytes): number[] {
  return [...i32(address), ...value, 0x36, 2, 0];
}

export const FOREVER: Bytes = [0x03, 0x40, 0x0c, 0x00, 0x0b];

export function section(id: number, body: Bytes): number[] {
  return [id, ...leb(body.length), ...body];
}

export function vector(items: readonly Bytes[]): number[] {
  return [...leb(items.length), ...items.flat()];
}

export const HEADER: Bytes = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** A module of one function `_start` with the memory that it exports. */
export function buildModule(parts: ModuleParts = {}): Uint8Array<ArrayBuffer> {
  const imports = parts.imports ?? [];
  const types = [...imports, parts.startType ?? NOTHING].map(({ parameters, results }) => [
    0x60,
    ...vector(parameters.map((p) => [p])),
    ...vector(results.map((r) => [r])),
  ]);
  const locals = parts.locals ?? [];
  const body = [...vector(locals.map((type) => [1, type])), ...(parts.start ?? []), 0x0b];
  const sections: Record<number, Bytes> = {
    1: vector(types),
    ...(imports.length === 0
      ? {}
      : { 2: vector(imports.map(({ name, module }, i) => [...text(module ?? 'wasi_snapshot_preview1'), ...text(name), 0, ...leb(i)])) }),
    3: vector([leb(imports.length)]),
    5: parts.memory ?? [1, 0, 1],
    7: parts.exports ?? vector([MEMORY_EXPORT, [...text('_start'), 0, ...leb(imports.length)]]),
    10: vector([[...leb(body.length), ...body]]),
    ...parts.sections,
  };
  const order = [1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11];
  return Uint8Array.from([...HEADER, ...order.flatMap((id) => (sections[id] === undefined ? [] : section(id, sections[id])))]);
}

/** Imports of WASI, ready for `buildModule`. */
export const WASI = {
  fd_read: { name: 'fd_read', parameters: [I32, I32, I32, I32], results: [I32] },
  fd_write: { name: 'fd_write', parameters: [I32, I32, I32, I32], results: [I32] },
  proc_exit: { name: 'proc_exit', parameters: [I32], results: [] },
  args_get: { name: 'args_get', parameters: [I32, I32], results: [I32] },
  args_sizes_get: { name: 'args_sizes_get', parameters: [I32, I32], results: [I32] },
  environ_sizes_get: { name: 'environ_sizes_get', parameters: [I32, I32], results: [I32] },
  random_get: { name: 'random_get', parameters: [I32, I32], results: [I32] },
  clock_time_get: { name: 'clock_time_get', parameters: [I32, I64, I32], results: [I32] },
  path_open: { name: 'path_open', parameters: [I32, I32, I32, I32, I32, I64, I64, I32, I32], results: [I32] },
  poll_oneoff: { name: 'poll_oneoff', parameters: [I32, I32, I32, I32], results: [I32] },
  fd_prestat_get: { name: 'fd_prestat_get', parameters: [I32, I32], results: [I32] },
  fd_fdstat_get: { name: 'fd_fdstat_get', parameters: [I32, I32], results: [I32] },
  fd_seek: { name: 'fd_seek', parameters: [I32, I64, I32, I32], results: [I32] },
} as const;

/** Instructions that write `length` bytes of memory to a descriptor through imported function `index` (fd_write). */
export function writeOut(index: number, { descriptor = 1, from, length }: { descriptor?: number; from: number; length: number }): number[] {
  const vectorAt = 64_000;
  return [
    ...store(vectorAt, i32(from)),
    ...store(vectorAt + 4, i32(length)),
    ...call(index, i32(descriptor), i32(vectorAt), i32(1), i32(vectorAt + 8)),
    0x1a,
  ];
}
