import path from 'node:path';
import { fileURLToPath } from 'node:url';

import type { ExecutorRequest } from '../executor.ts';

/** The JavaScript heap of the child; linear memory is bounded by the rewritten module instead. */
const HEAP_MIB = 256;

function fromHere(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

export const CHILD = fromHere('child.ts');

/** All that the child imports, and the file that says what `#actors` means. */
const SOURCES = [
  'child.ts',
  'lifeline.ts',
  'attempt-protocol.ts',
  'standard-streams.ts',
  'seeded-random.ts',
  'wasi.ts',
  '../../../actors/contract/wasm-module.ts',
  '../../../actors/contract/wasm-code.ts',
  '../../../actors/contract/wasm-reader.ts',
  '../../../actors/contract/wasi-imports.ts',
  '../../../package.json',
].map(fromHere);

const FLAGS = [
  '--permission',
  // A worker thread holds the lifeline; the warning about it would only soil the log.
  '--allow-worker',
  '--no-warnings',
  '--disallow-code-generation-from-strings',
  `--max-old-space-size=${HEAP_MIB}`,
];

export interface ChildCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
}

/**
 * How a child is started: Node with its permission model, which lets the script read itself, its imports, the module and
 * the input, and write the output; no other file, no process, no native addon.
 */
export function childCommand(
  script: string,
  { modulePath, inputPath, outputPath }: Pick<ExecutorRequest, 'modulePath' | 'inputPath' | 'outputPath'>,
): ChildCommand {
  return {
    file: process.execPath,
    args: [
      ...FLAGS,
      ...[...SOURCES, script, modulePath, inputPath].map((file) => `--allow-fs-read=${file}`),
      `--allow-fs-write=${outputPath}`,
      script,
    ],
    cwd: path.parse(script).root,
  };
}
