/**
 * Compiles the example jobs: examples/NAME/assembly/index.ts → examples/NAME/NAME.wasm. The results are committed, so
 * nobody needs the compiler to run them. `--check` compares them byte for byte with what the sources give now.
 */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { main as asc } from 'assemblyscript/asc';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const EXAMPLES = ['word-count', 'render', 'long-walk'];

/** Speed over size; no assertions; everything begins in `_start`; the abort of our own `process.ts`, which needs no host. */
const OPTIONS = [
  '--optimizeLevel=3',
  '--shrinkLevel=0',
  '--noAssert',
  '--runtime=minimal',
  '--exportStart=_start',
  '--use=abort=examples/wasi/assembly/process/abort',
  '--noColors',
];

async function compile(name: string): Promise<Uint8Array> {
  let module: Uint8Array | undefined;
  const { error, stderr } = await asc([`examples/${name}/assembly/index.ts`, `--baseDir=${ROOT}`, `--outFile=${name}.wasm`, ...OPTIONS], {
    readFile: (file, folder) => readFile(path.resolve(folder, file), 'utf8').catch(() => null),
    writeFile: (_file, contents) => {
      module = typeof contents === 'string' ? new TextEncoder().encode(contents) : contents;
    },
    listFiles: () => null,
  });
  // The compiler's own stream: its toString gives what was written.
  // oxlint-disable-next-line typescript/no-base-to-string
  const messages = stderr.toString();
  // A warning is a mistake too: the sources of an example are there to be read.
  if (error || messages !== '' || !module) throw new Error(`examples/${name} does not compile:\n${messages}${error?.message ?? ''}`);
  return module;
}

async function isCurrent(file: string, module: Uint8Array): Promise<boolean> {
  const committed = await readFile(file).catch(() => undefined);
  return committed?.equals(module) ?? false;
}

const check = process.argv.includes('--check');
for (const name of EXAMPLES) {
  const file = path.join(ROOT, 'examples', name, `${name}.wasm`);
  const module = await compile(name);
  const current = await isCurrent(file, module);
  if (!current && !check) await writeFile(file, module);
  if (!current && check) process.exitCode = 1;
  const state = current ? 'is current' : check ? 'is not what its sources give: run `npm run build:examples`' : 'written';
  process.stdout.write(`examples/${name}/${name}.wasm ${state} (${module.length} bytes)\n`);
}
