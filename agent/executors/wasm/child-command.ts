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
  'checkpoints.ts',
  'checkpoint-file.ts',
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
 * the input, and write the output and its checkpoints; no other file, no process, no native addon.
 */
export function childCommand(
  script: string,
  { modulePath, inputPath, outputPath, checkpoints }: Pick<ExecutorRequest, 'modulePath' | 'inputPath' | 'outputPath' | 'checkpoints'>,
): ChildCommand {
  const from = checkpoints?.from === undefined ? [] : [checkpoints.from];
  const written = checkpoints === undefined ? [] : [path.join(checkpoints.folder, '*')];
  // It reads its output back for a checkpoint.
  const read = checkpoints === undefined ? from : [...from, outputPath];
  return {
    file: process.execPath,
    args: [
      ...FLAGS,
      ...[...SOURCES, script, modulePath, inputPath, ...read].map((file) => `--allow-fs-read=${file}`),
      ...[outputPath, ...written].map((file) => `--allow-fs-write=${file}`),
      script,
    ],
    cwd: path.parse(script).root,
  };
}
