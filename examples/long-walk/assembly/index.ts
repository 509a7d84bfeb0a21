// A long walk: `long-walk STEPS ROUNDS SEED` walks STEPS times ROUNDS turns of a generator of numbers and writes where it is after
// each step. Nothing of it can be computed in another order, so an attempt that is lost near its end loses much.
//
// It runs in steps, so that the grid can take a checkpoint between two of them. All that a step needs lies in memory at fixed
// places, where a checkpoint finds it: variables of AssemblyScript would be globals, which `corpgrid_checkpoint` had to save.

import { fail, programArguments } from "../../wasi/assembly/process";

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(descriptor: i32, vectors: usize, count: i32, result: usize): i32;

/** u64 position, u32 steps left, u32 rounds of a step. */
const STATE: usize = memory.data(16);
const VECTOR: usize = memory.data(16);
/** 16 hex digits and a newline. */
const LINE: usize = memory.data(17);

function main(): void {
  const args = programArguments();
  if (args.length != 3) fail("usage: long-walk STEPS ROUNDS SEED");
  store<u64>(STATE, 0x9e3779b97f4a7c15 + <u64>I64.parseInt(args[2]));
  store<u32>(STATE, <u32>I64.parseInt(args[0]), 8);
  store<u32>(STATE, <u32>I64.parseInt(args[1]), 12);
}

function writePosition(position: u64): void {
  for (let digit: usize = 0; digit < 16; digit++) {
    const value = <u8>((position >> ((15 - <u64>digit) * 4)) & 15);
    store<u8>(LINE + digit, value < 10 ? 0x30 + value : 0x57 + value);
  }
  store<u8>(LINE + 16, 10);
  store<u32>(VECTOR, <u32>LINE);
  store<u32>(VECTOR, 17, 4);
  if (fd_write(1, VECTOR, 1, VECTOR + 8) != 0) fail("standard output cannot be written");
}

/** One step of the walk; 0 when it was the last. */
export function corpgrid_step(): i32 {
  let position = load<u64>(STATE);
  const rounds = load<u32>(STATE, 12);
  // xorshift64* (Sebastiano Vigna).
  for (let i: u32 = 0; i < rounds; i++) {
    position ^= position >> 12;
    position ^= position << 25;
    position ^= position >> 27;
    position *= 0x2545f4914f6cdd1d;
  }
  store<u64>(STATE, position);
  writePosition(position);
  const left = load<u32>(STATE, 8) - 1;
  store<u32>(STATE, left, 8);
  return left > 0 ? 1 : 0;
}

/** Everything lies in memory already. */
export function corpgrid_checkpoint(): void {}

export function corpgrid_restore(): void {}

main();
