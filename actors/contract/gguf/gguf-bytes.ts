/** Thrown for bytes that are not what the format says; whoever opened the file turns it into an error for people. */
export class BadGguf extends Error {
  override readonly name = 'BadGguf';
  /** Which part of the file: `header`, `metadata.<key>` or `tensors.<name>`. */
  readonly where: string;

  constructor(where: string, message: string) {
    super(message);
    this.where = where;
  }
}

const TEXT = new TextDecoder();
const WINDOW = 1024 * 1024;

/** Where the bytes come from: an open file, or an object in a store. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number;
  /** Puts bytes from `position` on into `into` and answers how many; 0 only at the end. */
  read(into: Uint8Array, position: number): number;
}

/**
 * Reads little-endian values in order, through a window of one MiB. Nothing that the file says is trusted:
 * every read is checked against the source's size and against `limit`, the most bytes that a header may take.
 */
export class GgufBytes {
  readonly #source: ByteSource;
  readonly #end: number;
  #window = new Uint8Array(0);
  #windowStart = 0;
  #position = 0;
  /** Named in errors. */
  where = 'header';

  constructor(source: ByteSource, limit: number) {
    this.#source = source;
    this.#end = Math.min(source.size, limit);
  }

  get position(): number {
    return this.#position;
  }

  refuse(message: string): never {
    throw new BadGguf(this.where, message);
  }

  /** The next `count` bytes as they stand in the window. */
  bytes(count: number): Uint8Array {
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

  #refill(position: number, count: number): Uint8Array {
    const window = new Uint8Array(Math.min(Math.max(WINDOW, count), this.#end - position));
    let filled = 0;
    while (filled < window.length) {
      const read = this.#source.read(window.subarray(filled), position + filled);
      if (read === 0) this.refuse('the file became shorter while it was read');
      filled += read;
    }
    this.#window = window;
    this.#windowStart = position;
    return window.subarray(0, count);
  }

  /** The next `count` bytes, to be read as numbers. */
  view(count: number): DataView {
    const { buffer, byteOffset } = this.bytes(count);
    return new DataView(buffer, byteOffset, count);
  }

  u32(): number {
    return this.view(4).getUint32(0, true);
  }

  /** An unsigned 64-bit number that must be at most `most`, and so fits a double. */
  u64(most: number, what: string): number {
    const value = this.view(8).getBigUint64(0, true);
    if (value > BigInt(most)) this.refuse(`${what} is ${value}, at most ${most} is allowed`);
    return Number(value);
  }

  string(most: number, what: string): string {
    const length = this.u64(most, `the length of ${what}`);
    return TEXT.decode(this.bytes(length));
  }

  skipString(most: number, what: string): void {
    this.skip(this.u64(most, `the length of ${what}`));
  }
}
