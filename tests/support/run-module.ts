import { readFileSync } from 'node:fs';

import { runWasi } from '#agent/executors/wasm/wasi.ts';
import { logSink, type ByteSink, type ByteSource } from '#agent/executors/wasm/standard-streams.ts';
import { validateModule } from '#actors/contract/wasm-module.ts';

export interface ModuleRun {
  readonly code: number;
  readonly output: Buffer;
  readonly log: string;
}

/** Runs a module in this process, as the executor's child would, with its streams in memory. Throws what it traps with. */
export function runModule(
  bytes: Uint8Array,
  args: readonly string[] = [],
  input: Uint8Array = new Uint8Array(),
  memoryMiB = 256,
): ModuleRun {
  const verdict = validateModule(bytes, { memoryMiB });
  if (!verdict.ok) throw new Error(verdict.reason);
  const chunks: Buffer[] = [];
  const stdout: ByteSink = { write: (part) => chunks.push(Buffer.from(part)) };
  const stderr = logSink(64 * 1024);
  const code = runWasi(new WebAssembly.Module(verdict.module), args, { stdin: bytesSource(input), stdout, stderr });
  return { code, output: Buffer.concat(chunks), log: stderr.text() };
}

/** The committed module of an example. */
export function exampleModule(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../../examples/${name}/${name}.wasm`, import.meta.url)));
}

/** A merge shard's input: each part preceded by its length. */
export function framed(parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(part.length);
      return [length, part];
    }),
  );
}

function bytesSource(bytes: Uint8Array): ByteSource {
  let at = 0;
  return {
    read(into) {
      const part = bytes.subarray(at, at + into.length);
      into.set(part);
      at += part.length;
      return part.length;
    },
  };
}
