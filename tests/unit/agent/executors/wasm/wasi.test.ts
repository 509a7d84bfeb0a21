import { describe, expect, it } from 'vitest';

import { buildModule, call, i32, i64, store, WASI, writeOut } from '#tests/support/module-builder.ts';
import { runModule } from '#tests/support/run-module.ts';

const AT = 1024;
const { fd_write, fd_read, args_get, args_sizes_get, environ_sizes_get, random_get, clock_time_get, proc_exit } = WASI;

/** Runs one call and writes its answer (4 bytes) and `length` bytes of memory from AT. */
function answerOf(
  wasi: (typeof WASI)[keyof typeof WASI],
  operands: readonly number[][],
  length = 0,
  args: string[] = [],
): { errno: number; memory: Buffer } {
  const start = [...store(AT - 4, call(1, ...operands)), ...writeOut(0, { from: AT - 4, length: length + 4 })];
  const { output } = runModule(buildModule({ imports: [fd_write, wasi], start }), args);
  return { errno: output.readUInt32LE(0), memory: output.subarray(4) };
}

describe('what a module sees of the world', () => {
  it('its arguments after a name that is the same everywhere', () => {
    const sizes = answerOf(args_sizes_get, [i32(AT), i32(AT + 4)], 8, ['--shard', 'ä7']);
    expect([sizes.memory.readUInt32LE(0), sizes.memory.readUInt32LE(4)]).toEqual([3, 12 + 8 + 4]);
    const { memory } = answerOf(args_get, [i32(AT), i32(AT + 12)], 12 + 24, ['--shard', 'ä7']);
    expect(memory.subarray(12).toString()).toBe('module.wasm\0--shard\0ä7\0');
    expect([0, 4, 8].map((at) => memory.readUInt32LE(at))).toEqual([AT + 12, AT + 24, AT + 32]);
  });

  it('no zero byte inside an argument', () => {
    const { memory } = answerOf(args_get, [i32(AT), i32(AT + 8)], 8 + 12 + 3, ['a\0b']);
    expect(memory.subarray(20).toString()).toBe('ab\0');
  });

  it('an empty environment', () => {
    const { errno, memory } = answerOf(environ_sizes_get, [i32(AT), i32(AT + 4)], 8);
    expect([errno, ...memory]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('a clock that moves one microsecond for each look', () => {
    const look = [...call(1, i32(0), i64(1), i32(AT)), 0x1a];
    const start = [...look, ...look, ...look, ...writeOut(0, { from: AT, length: 8 })];
    const { output } = runModule(buildModule({ imports: [fd_write, clock_time_get], start }));
    expect(output.readBigUInt64LE()).toBe(3000n);
  });

  it('random numbers that its arguments decide', () => {
    const draw = (args: string[]): string => answerOf(random_get, [i32(AT), i32(64)], 64, args).memory.toString('hex');
    expect(draw(['--shard', '1'])).toBe(draw(['--shard', '1']));
    expect(draw(['--shard', '1'])).not.toBe(draw(['--shard', '2']));
    // The same on every machine and for ever: results depend on it.
    expect(draw([]).slice(0, 32)).toBe('afcec34e704e6448d6d307c38d55347e');
  });

  it('no file, no folder, no way to wait', () => {
    expect(answerOf(WASI.path_open, [i32(3), i32(0), i32(0), i32(1), i32(0), i64(0), i64(0), i32(0), i32(AT)]).errno).toBe(8);
    expect(answerOf(WASI.fd_prestat_get, [i32(3), i32(AT)]).errno).toBe(8);
    expect(answerOf(WASI.poll_oneoff, [i32(0), i32(0), i32(1), i32(AT)]).errno).toBe(52);
    expect(answerOf(WASI.fd_seek, [i32(0), i64(0), i32(0), i32(AT)]).errno).toBe(70);
    expect(answerOf(WASI.fd_seek, [i32(3), i64(0), i32(0), i32(AT)]).errno).toBe(8);
  });

  it('streams that are no terminal', () => {
    const { errno, memory } = answerOf(WASI.fd_fdstat_get, [i32(1), i32(AT)], 24);
    expect([errno, memory[0], memory.readBigUInt64LE(8)]).toEqual([0, 0, 64n]);
    expect(answerOf(WASI.fd_fdstat_get, [i32(3), i32(AT)]).errno).toBe(8);
  });
});

describe('the three streams', () => {
  /** Reads into two buffers of 3 and 5 bytes, then writes how much came and both. */
  const readTwice = buildModule({
    imports: [fd_write, fd_read],
    start: [
      ...[store(AT, i32(AT + 16)), store(AT + 4, i32(3)), store(AT + 8, i32(AT + 20)), store(AT + 12, i32(5))].flat(),
      ...call(1, i32(0), i32(AT), i32(2), i32(AT + 28)),
      0x1a,
      ...writeOut(0, { from: AT + 16, length: 16 }),
    ],
  });

  it('fill one buffer after the other', () => {
    const { output } = runModule(readTwice, [], Buffer.from('abcdefgh-and-more'));
    expect(output.toString('latin1')).toBe('abc\0defgh\0\0\0\u0008\0\0\0');
  });

  it('stop at the end of the input', () => {
    const { output } = runModule(readTwice, [], Buffer.from('abcd'));
    expect([output.toString('latin1', 0, 9), output.readUInt32LE(12)]).toEqual(['abc\0d\0\0\0\0', 4]);
  });

  it('keep standard error apart', () => {
    const start = [...store(AT, i32(0x21696821)), ...writeOut(0, { descriptor: 2, from: AT, length: 3 })];
    expect(runModule(buildModule({ imports: [fd_write], start }))).toMatchObject({ code: 0, output: Buffer.alloc(0), log: '!hi' });
  });

  it('refuse to be used the wrong way round', () => {
    expect(answerOf(fd_read, [i32(1), i32(0), i32(0), i32(AT)]).errno).toBe(8);
    const start = [...store(AT, call(0, i32(0), i32(0), i32(0), i32(AT + 4))), ...writeOut(0, { from: AT, length: 1 })];
    expect([...runModule(buildModule({ imports: [fd_write], start })).output]).toEqual([8]);
  });
});

describe('the end', () => {
  it.each([0, 1, 42])('answers exit code %d and runs nothing after it', (code) => {
    const start = [...call(1, i32(code)), ...writeOut(0, { from: AT, length: 4 })];
    expect(runModule(buildModule({ imports: [fd_write, proc_exit], start }))).toMatchObject({ code, output: Buffer.alloc(0) });
  });

  it('throws on a trap', () => {
    expect(() => runModule(buildModule({ start: [0x00] }))).toThrow(WebAssembly.RuntimeError);
  });

  it('throws on a pointer outside the memory, also one that looks negative', () => {
    for (const pointer of [65_535, -4, 0x7fff_fff0]) {
      expect(() => runModule(buildModule({ imports: [random_get], start: [...call(0, i32(pointer), i32(8)), 0x1a] }))).toThrow(RangeError);
    }
  });

  it('sees the memory that has grown', () => {
    const grow = [...i32(1), 0x40, 0, 0x1a];
    const start = [...grow, ...call(1, i32(70_000), i32(4)), 0x1a, ...writeOut(0, { from: 70_000, length: 4 })];
    const { output } = runModule(buildModule({ imports: [fd_write, random_get], start }));
    expect(output.length).toBe(4);
    expect(output.equals(Buffer.alloc(4))).toBe(false);
  });
});
