import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { fileSink, fileSource, logSink, OutputTooLarge } from '#agent/executors/wasm/standard-streams.ts';
import { temporaryFolder } from '#tests/support/temporary-folder.ts';

const MIB = 1024 * 1024;

async function withFile<T>(content: Buffer, flags: string, use: (descriptor: number, file: string) => T): Promise<T> {
  const file = path.join(await temporaryFolder('streams'), 'file');
  writeFileSync(file, content);
  const descriptor = openSync(file, flags);
  try {
    return use(descriptor, file);
  } finally {
    closeSync(descriptor);
  }
}

function pattern(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31) >> 3));
}

describe('fileSource', () => {
  it('reads on where it stopped, and short only at the end', async () => {
    const content = pattern(100_000);
    const parts = await withFile(content, 'r', (descriptor) => {
      const source = fileSource(descriptor);
      return [70_000, 0, 20_000, 20_000, 5].map((length) => {
        const into = new Uint8Array(length);
        return Buffer.from(into.subarray(0, source.read(into)));
      });
    });
    expect(parts.map((part) => part.length)).toEqual([70_000, 0, 20_000, 10_000, 0]);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
  });
});

describe('fileSink', () => {
  it('writes what it was given, in any sizes', async () => {
    const content = pattern(300_000);
    const written = await withFile(Buffer.alloc(0), 'w', (descriptor, file) => {
      const sink = fileSink(descriptor, MIB);
      let at = 0;
      for (const size of [1, 0, 65_535, 65_536, 65_537, 3, 90_000, 13_388]) {
        const part = Uint8Array.from(content.subarray(at, at + size));
        sink.write(part);
        part.fill(0); // the module may change its memory at once
        at += size;
      }
      expect(at).toBe(content.length);
      sink.flush();
      return readFileSync(file);
    });
    expect(written.equals(content)).toBe(true);
  });

  it('takes exactly its limit and not one byte more', async () => {
    await withFile(Buffer.alloc(0), 'w', (descriptor) => {
      const sink = fileSink(descriptor, MIB);
      sink.write(new Uint8Array(MIB));
      expect(() => sink.write(new Uint8Array(1))).toThrow(OutputTooLarge);
      expect(() => sink.write(new Uint8Array(1))).toThrow('it wrote more than 1 MiB (limits.outputMiB)');
    });
  });
});

describe('logSink', () => {
  it('keeps the beginning and lets the rest go', () => {
    const log = logSink(8);
    for (const part of ['hello', ' world', '!']) log.write(Buffer.from(part));
    expect(log.text()).toBe('hello wo');
  });
});
