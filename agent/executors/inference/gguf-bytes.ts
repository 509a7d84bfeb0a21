import { readSync } from 'node:fs';

/** Thrown for bytes that are not what the format says; `gguf-header.ts` turns it into an error for people. */
export class BadGguf extends Error {
  override readonly name = 'BadGguf';
  /** Which part of the file: `header`, `metadata.<key>` or `tensors.<name>`. */
  readonly where: string;

  constructor(where: string, message: string) {
    super(message);
    this.where = where;
  }
}

const WINDOW = 1024 * 1024;

/**
 * Reads little-endian values of an open file in order, through a window of one MiB. Nothing that the file says is trusted:
 * every read is checked against the file's size and against `limit`, the most bytes that a header may take.
 */
export class GgufBytes {
  readonly #descriptor: number;
  readonly #end: number;
  #window = Buffer.alloc(0);
  #windowStart = 0;
  #position = 0;
  /** Named in errors. */
  where = 'header';

  constructor(descriptor: number, fileSize: number, limit: number) {
    this.#descriptor = descriptor;
    this.#end = Math.min(fileSize, limit);
  }

  get position(): number {
    return this.#position;
  }

  refuse(message: string): never {
    throw new BadGguf(this.where, message);
  }

  /** The next `count` bytes as they stand in the window. */
  bytes(count: number): Buffer {
    if (this.#position + count > this.#end)
      this.refuse(`it needs ${count} bytes at ${this.#position}, and the header must end at ${this.#end}`);
    const offset = this.#position - this.#windowStart;
    this.#position += count;
    if (offset + count <= this.#window.length) return this.#window.subarray(offset, offset + count);
    return this.#refill(this.#position - count, count);
  }

  skip(count: number): void {
    if (this.#position + count > this.#end)
      this.refuse(`it skips ${count} bytes at ${this.#position}, and the header must end at ${this.#end}`);
    this.#position += count;
  }

  #refill(position: number, count: number): Buffer {
    const window = Buffer.alloc(Math.min(Math.max(WINDOW, count), this.#end - position));
    let filled = 0;
    while (filled < window.length) {
      const read = readSync(this.#descriptor, window, filled, window.length - filled, position + filled);
      if (read === 0) this.refuse('the file became shorter while it was read');
      filled += read;
    }
    this.#window = window;
    this.#windowStart = position;
    return window.subarray(0, count);
  }

  u32(): number {
    return this.bytes(4).readUInt32LE();
  }

  /** An unsigned 64-bit number that must be at most `most`, and so fits a double. */
  u64(most: number, what: string): number {
    const value = this.bytes(8).readBigUInt64LE();
    if (value > BigInt(most)) this.refuse(`${what} is ${value}, at most ${most} is allowed`);
    return Number(value);
  }

  string(most: number, what: string): string {
    const length = this.u64(most, `the length of ${what}`);
    return this.bytes(length).toString('utf8');
  }

  skipString(most: number, what: string): void {
    this.skip(this.u64(most, `the length of ${what}`));
  }
}
