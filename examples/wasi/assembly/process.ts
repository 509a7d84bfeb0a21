// Arguments, exit and failure of a job written in AssemblyScript, by WASI preview 1.

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, size: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(pointers: usize, bytes: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(descriptor: i32, vectors: usize, count: i32, result: usize): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "proc_exit")
declare function proc_exit(code: i32): void;

const STDERR: i32 = 2;
const SCRATCH: usize = memory.data(16);

/** The job's arguments, without the module's own name. */
export function programArguments(): string[] {
  args_sizes_get(SCRATCH, SCRATCH + 4);
  const count = load<u32>(SCRATCH);
  const pointers = heap.alloc(count * 4 + load<u32>(SCRATCH, 4));
  args_get(pointers, pointers + count * 4);
  const found: string[] = [];
  for (let i: u32 = 1; i < count; i++) {
    const start = <usize>load<u32>(pointers + i * 4);
    let end = start;
    while (load<u8>(end) != 0) end++;
    found.push(String.UTF8.decodeUnsafe(start, end - start));
  }
  return found;
}

/** Says why on standard error and ends the attempt as failed. */
export function fail(why: string): void {
  const text = String.UTF8.encode(why + "\n");
  store<u32>(SCRATCH, <u32>changetype<usize>(text));
  store<u32>(SCRATCH, <u32>text.byteLength, 4);
  fd_write(STDERR, SCRATCH, 1, SCRATCH + 8);
  proc_exit(1);
  unreachable();
}

/** What the compiler calls when an assertion fails (asc --use abort=...). */
export function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const what = message === null ? "aborted" : message;
  const where = file === null ? "" : " in " + file + ":" + line.toString() + ":" + column.toString();
  fail(what + where);
}
