import { readSync, writeSync } from 'node:fs';

/** Where a module's standard input comes from. */
export interface ByteSource {
  /** Fills `into` from the start and answers how many bytes; fewer than asked only at the end of the input. */
  read(into: Uint8Array): number;
}

/** Where a module's output goes. The bytes are the module's own memory: they must be copied or written before it answers. */
export interface ByteSink {
  write(bytes: Uint8Array): void;
}

/** The module wrote more than it may. */
export class OutputTooLarge extends Error {
  override readonly name = 'OutputTooLarge';
}

const CHUNK = 64 * 1024;

/** Reads an open file on demand. A short read of the system is never passed on, so the module sees the same everywhere. */
export function fileSource(descriptor: number): ByteSource & { position(): number; seek(to: number): void } {
  let at = 0;
  return {
    read(into) {
      let filled = 0;
      while (filled < into.length) {
        const count = readSync(descriptor, into, filled, into.length - filled, at);
        if (count === 0) break;
        filled += count;
        at += count;
      }
      return filled;
    },
    position: () => at,
    seek(to) {
      at = to;
    },
  };
}

/** Writes to an open file in chunks, up to `limit` bytes; more throws `OutputTooLarge`. Call `flush` at the end. */
export function fileSink(descriptor: number, limit: number): ByteSink & { flush(): void } {
  const buffer = new Uint8Array(CHUNK);
  let buffered = 0;
  let total = 0;
  const writeAll = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at, bytes.length - at);
  };
  const flush = (): void => {
    writeAll(buffer.subarray(0, buffered));
    buffered = 0;
  };
  return {
    write(bytes) {
      total += bytes.length;
      if (total > limit) throw new OutputTooLarge(`it wrote more than ${limit / 1024 / 1024} MiB (limits.outputMiB)`);
      if (buffered + bytes.length > CHUNK) flush();
      if (bytes.length > CHUNK) return writeAll(bytes);
      buffer.set(bytes, buffered);
      buffered += bytes.length;
    },
    flush,
  };
}

/** Keeps the first `limit` bytes as text and lets the rest go. */
export function logSink(limit: number): ByteSink & { text(): string } {
  const buffer = new Uint8Array(limit);
  let length = 0;
  return {
    write(bytes) {
      const part = bytes.subarray(0, limit - length);
      buffer.set(part, length);
      length += part.length;
    },
    text: () => new TextDecoder().decode(buffer.subarray(0, length)),
  };
}
