// Buffered standard input and output of a job written in AssemblyScript, by WASI preview 1.

import { fail } from "./process";

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(descriptor: i32, vectors: usize, count: i32, result: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(descriptor: i32, vectors: usize, count: i32, result: usize): i32;

const CHUNK: usize = 65536;
const VECTOR: usize = memory.data(16);

const input: usize = heap.alloc(CHUNK);
let inputAt: usize = input;
let inputEnd: usize = input;

const output: usize = heap.alloc(CHUNK);
let outputAt: usize = output;

function refill(): bool {
  store<u32>(VECTOR, <u32>input);
  store<u32>(VECTOR, <u32>CHUNK, 4);
  const error = fd_read(0, VECTOR, 1, VECTOR + 8);
  if (error != 0) fail("standard input cannot be read: error " + error.toString());
  inputAt = input;
  inputEnd = input + load<u32>(VECTOR, 8);
  return inputEnd > inputAt;
}

/** The next byte of standard input, or -1 at its end. */
// @ts-ignore: decorator
@inline
export function readByte(): i32 {
  if (inputAt == inputEnd && !refill()) return -1;
  return load<u8>(inputAt++);
}

/** Copies the next `length` bytes of standard input; fails when there are fewer. */
export function readBytes(into: usize, length: usize): void {
  while (length > 0) {
    if (inputAt == inputEnd && !refill()) fail("standard input ends too early");
    const part = min(length, inputEnd - inputAt);
    memory.copy(into, inputAt, part);
    inputAt += part;
    into += part;
    length -= part;
  }
}

/** Reads the length before one of the framed inputs of a merge shard; -1 when there are no more. */
export function readFrame(): i64 {
  const first = readByte();
  if (first < 0) return -1;
  let length = <i64>first;
  for (let shift: i64 = 8; shift < 32; shift += 8) {
    const next = readByte();
    if (next < 0) fail("standard input ends inside a frame's length");
    length |= (<i64>next) << shift;
  }
  return length;
}

// @ts-ignore: decorator
@inline
export function writeByte(byte: i32): void {
  if (outputAt == output + CHUNK) flush();
  store<u8>(outputAt++, byte);
}

export function writeBytes(from: usize, length: usize): void {
  while (length > 0) {
    if (outputAt == output + CHUNK) flush();
    const part = min(length, output + CHUNK - outputAt);
    memory.copy(outputAt, from, part);
    outputAt += part;
    from += part;
    length -= part;
  }
}

/** Hands over what is buffered. A job calls it at its end. */
export function flush(): void {
  let from = output;
  while (from < outputAt) {
    store<u32>(VECTOR, <u32>from);
    store<u32>(VECTOR, <u32>(outputAt - from), 4);
    const error = fd_write(1, VECTOR, 1, VECTOR + 8);
    if (error != 0) fail("standard output cannot be written: error " + error.toString());
    from += load<u32>(VECTOR, 8);
  }
  outputAt = output;
}
