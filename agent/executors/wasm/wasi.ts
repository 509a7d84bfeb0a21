import { WASI_MODULE, WASI_TYPES } from '#actors/contract/wasi-imports.ts';

import { seededBytes, type SeededBytes } from './seeded-random.ts';
import type { ByteSink, ByteSource } from './standard-streams.ts';

/**
 * WASI preview 1 without a world: standard input, output and error, arguments, and nothing else of the host.
 *
 * The same module with the same arguments and input makes the same calls and gets the same answers on every machine:
 * the clock is virtual (it starts at 0 and each look at it costs one microsecond), random numbers are seeded by the
 * arguments, the environment is empty, no folder is open. What is left to differ are the bits of a NaN: a job that lets
 * them reach its output may give different bytes on x64 and arm64.
 */

const OK = 0;
const BADF = 8;
const NOSYS = 52;
const SPIPE = 70;
const NANOSECONDS_PER_LOOK = 1000n;
/** Rights of fd_read and fd_write. Without the right to seek a C library takes its stream for a pipe. */
const RIGHT_READ = 2n;
const RIGHT_WRITE = 64n;

/** What every module sees as its own name: the file's real name differs between machines. */
const PROGRAM_NAME = 'module.wasm';

export interface WasiStreams {
  stdin: ByteSource;
  stdout: ByteSink;
  stderr: ByteSink;
}

/** Thrown through the module by proc_exit. No module can catch it: exceptions are refused by `validateModule`. */
class Exit {
  readonly code: number;
  constructor(code: number) {
    this.code = code;
  }
}

type Call = (...values: number[]) => number;

/** Where a run stands, as far as WASI knows. */
export interface WasiState {
  readonly nanoseconds: bigint;
  readonly random: readonly [number, number, number, number];
}

/** Between two steps of a module. */
export interface Pause extends WasiState {
  readonly steps: number;
  readonly memory: WebAssembly.Memory;
  /** Lets the module lay into its memory what it keeps elsewhere. Null: it cannot go on from a checkpoint. */
  readonly save: (() => void) | null;
}

export interface WasiRun {
  /** Called after each step that is not the last. */
  readonly between?: (pause: Pause) => void;
  /** Goes on from here instead of `_start`; `fill` puts the memory back. */
  readonly from?: WasiState & { readonly steps: number; readonly fill: (memory: WebAssembly.Memory) => void };
}

/**
 * Runs a compiled module that `validateModule` has accepted. Answers the exit code (0 when it ends by itself).
 * Throws what the module trapped with and what the streams throw.
 *
 * A module that exports `corpgrid_step` is called again and again until that answers 0; one that also exports
 * `corpgrid_checkpoint` and `corpgrid_restore` may be stopped between two steps and go on elsewhere with its memory. What it
 * keeps outside its memory (globals, tables) it lays there itself in the one, and takes from there in the other.
 */
export function runWasi(module: WebAssembly.Module, args: readonly string[], streams: WasiStreams, run: WasiRun = {}): number {
  let memory: WebAssembly.Memory | undefined;
  const access = memoryAccess(() => memory?.buffer ?? new ArrayBuffer(0));
  const random = seededBytes(args);
  const clock = { nanoseconds: run.from?.nanoseconds ?? 0n };
  if (run.from !== undefined) random.resume(run.from.random);
  const offered = { ...argumentCalls(args, random, access), ...clockCalls(clock, access), ...streamCalls(streams, access) };
  const imports: Record<string, Call> = {};
  for (const name of WASI_TYPES.keys()) imports[name] = refusal(name);
  Object.assign(imports, offered);
  const instance = new WebAssembly.Instance(module, { [WASI_MODULE]: imports });
  const { memory: exportedMemory, _start: start } = instance.exports;
  const { corpgrid_step: step, corpgrid_checkpoint: save, corpgrid_restore: restore } = instance.exports;
  if (!(exportedMemory instanceof WebAssembly.Memory) || typeof start !== 'function') throw new Error('not a validated module');
  memory = exportedMemory;
  const canSave = typeof save === 'function' && typeof restore === 'function' ? (): void => void save() : null;
  let steps = run.from?.steps ?? 0;
  try {
    if (run.from === undefined) {
      start();
    } else {
      run.from.fill(exportedMemory);
      if (typeof restore !== 'function') throw new Error('the module cannot go on from a checkpoint');
      restore();
    }
    if (typeof step !== 'function') return 0;
    while (step() !== 0) {
      steps += 1;
      run.between?.({ steps, memory: exportedMemory, save: canSave, nanoseconds: clock.nanoseconds, random: random.state() });
    }
    return 0;
  } catch (error) {
    if (error instanceof Exit) return error.code;
    throw error;
  }
}

/** Nothing is open but the three streams; what is not about files is not there at all. */
function refusal(name: string): Call {
  const answer = /^(fd|path|sock)_/.test(name) ? BADF : NOSYS;
  return () => answer;
}

interface MemoryAccess {
  /** A window into the memory; throws a RangeError when it is not all inside. */
  slice(pointer: number, length: number): Uint8Array;
  getU32(pointer: number): number;
  setU32(pointer: number, value: number): void;
  setU64(pointer: number, value: bigint): void;
}

/** Pointers come from the module as signed numbers. The buffer is asked for each time: growing the memory replaces it. */
function memoryAccess(buffer: () => ArrayBufferLike): MemoryAccess {
  let view = new DataView(buffer());
  const current = (): DataView => {
    const now = buffer();
    if (view.buffer !== now) view = new DataView(now);
    return view;
  };
  return {
    slice: (pointer, length) => new Uint8Array(buffer(), pointer >>> 0, length >>> 0),
    getU32: (pointer) => current().getUint32(pointer >>> 0, true),
    setU32: (pointer, value) => current().setUint32(pointer >>> 0, value, true),
    setU64: (pointer, value) => current().setBigUint64(pointer >>> 0, value, true),
  };
}

function argumentCalls(args: readonly string[], random: SeededBytes, access: MemoryAccess): Record<string, Call> {
  const encoder = new TextEncoder();
  // A zero byte inside an argument would cut it short for C and not for others.
  const encoded = [PROGRAM_NAME, ...args].map((argument) => encoder.encode(`${argument.replaceAll('\0', '')}\0`));
  return {
    args_sizes_get(count, size) {
      access.setU32(count ?? 0, encoded.length);
      access.setU32(
        size ?? 0,
        encoded.reduce((total, argument) => total + argument.length, 0),
      );
      return OK;
    },
    args_get(pointers, bytes) {
      let pointerAt = (pointers ?? 0) >>> 0;
      let byteAt = (bytes ?? 0) >>> 0;
      for (const argument of encoded) {
        access.setU32(pointerAt, byteAt);
        access.slice(byteAt, argument.length).set(argument);
        pointerAt += 4;
        byteAt += argument.length;
      }
      return OK;
    },
    environ_sizes_get(count, size) {
      access.setU32(count ?? 0, 0);
      access.setU32(size ?? 0, 0);
      return OK;
    },
    environ_get: () => OK,
    random_get(pointer, length) {
      random.fill(access.slice(pointer ?? 0, length ?? 0));
      return OK;
    },
    proc_exit(code) {
      throw new Exit((code ?? 0) >>> 0);
    },
    sched_yield: () => OK,
  };
}

function clockCalls(clock: { nanoseconds: bigint }, access: MemoryAccess): Record<string, Call> {
  return {
    clock_res_get(_clock, result) {
      access.setU64(result ?? 0, NANOSECONDS_PER_LOOK);
      return OK;
    },
    clock_time_get(_clock, _precision, result) {
      clock.nanoseconds += NANOSECONDS_PER_LOOK;
      access.setU64(result ?? 0, clock.nanoseconds);
      return OK;
    },
  };
}

function streamCalls({ stdin, stdout, stderr }: WasiStreams, access: MemoryAccess): Record<string, Call> {
  const isStream = (descriptor: number | undefined): boolean => descriptor === 0 || descriptor === 1 || descriptor === 2;
  /** Visits the buffers of a scattered read or gathered write until one is not used up; answers the bytes moved. */
  const eachBuffer = (vectors: number, count: number, move: (bytes: Uint8Array) => number): number => {
    let total = 0;
    for (let i = 0; i < count >>> 0; i++) {
      const at = (vectors >>> 0) + i * 8;
      const bytes = access.slice(access.getU32(at), access.getU32(at + 4));
      const moved = move(bytes);
      total += moved;
      if (moved < bytes.length) break;
    }
    return total;
  };
  return {
    fd_read(descriptor, vectors, count, result) {
      if (descriptor !== 0) return BADF;
      access.setU32(
        result ?? 0,
        eachBuffer(vectors ?? 0, count ?? 0, (bytes) => stdin.read(bytes)),
      );
      return OK;
    },
    fd_write(descriptor, vectors, count, result) {
      if (descriptor !== 1 && descriptor !== 2) return BADF;
      const sink = descriptor === 1 ? stdout : stderr;
      const total = eachBuffer(vectors ?? 0, count ?? 0, (bytes) => {
        sink.write(bytes);
        return bytes.length;
      });
      access.setU32(result ?? 0, total);
      return OK;
    },
    fd_close: (descriptor) => (isStream(descriptor) ? OK : BADF),
    fd_seek: (descriptor) => (isStream(descriptor) ? SPIPE : BADF),
    fd_tell: (descriptor) => (isStream(descriptor) ? SPIPE : BADF),
    fd_fdstat_get(descriptor, result) {
      if (!isStream(descriptor)) return BADF;
      const at = (result ?? 0) >>> 0;
      access.slice(at, 24).fill(0);
      access.setU64(at + 8, descriptor === 0 ? RIGHT_READ : RIGHT_WRITE);
      return OK;
    },
    fd_filestat_get(descriptor, result) {
      if (!isStream(descriptor)) return BADF;
      access.slice(result ?? 0, 64).fill(0);
      return OK;
    },
  };
}
