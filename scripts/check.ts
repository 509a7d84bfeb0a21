import { spawnSync } from 'node:child_process';
import path from 'node:path';

import { errorsTableDrift } from './errors-table.ts';

/** `npm run check`: what a machine can say about the source. No network. Ends with exit 1 when anything is wrong. */

const ROOT = path.dirname(import.meta.dirname);
const BIN = path.join(ROOT, 'node_modules', '.bin');

interface Check {
  readonly name: string;
  readonly run: () => string | null;
}

/** Runs a tool; answers its output when it fails or when the output does not show that it did its work. */
function tool(command: string, args: readonly string[], proof?: RegExp): string | null {
  const result = spawnSync(path.join(BIN, command), args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}`;
  if (result.status !== 0) return output || String(result.error);
  // A tool that looked at nothing finds nothing: some exit with 0 all the same.
  return proof !== undefined && !proof.test(output) ? `${command} did not say that it looked at anything:\n${output}` : null;
}

function script(file: string, ...args: string[]): string | null {
  const result = spawnSync(process.execPath, [path.join(ROOT, 'scripts', file), ...args], { cwd: ROOT, encoding: 'utf8' });
  return result.status === 0 ? null : `${result.stdout}${result.stderr}`;
}

const CHECKS: readonly Check[] = [
  { name: 'format', run: () => tool('oxfmt', ['--check', '.']) },
  { name: 'lint', run: () => tool('oxlint', ['--type-aware', '--quiet'], /on [1-9]\d* files/) },
  { name: 'types', run: () => tool('tsc', ['--noEmit', '-p', 'tsconfig.json']) },
  {
    name: 'types of the UI',
    run: () =>
      tool('svelte-check', ['--tsconfig', './tsconfig.json', '--workspace', 'ui', '--fail-on-warnings'], /[1-9]\d* files|0 errors/i),
  },
  {
    name: 'layers',
    run: () =>
      tool(
        'depcruise',
        ['--config', '.dependency-cruiser.cjs', 'runtime', 'actors', 'agent', 'bin', 'scripts', 'ui/src'],
        /\([1-9]\d{2,} modules/,
      ),
  },
  { name: 'unused code', run: () => tool('knip', ['--no-progress']) },
  { name: 'examples built from their sources', run: () => script('build-examples.ts', '--check') },
  { name: 'errors table', run: errorsTableDrift },
];

let failures = 0;
for (const { name, run } of CHECKS) {
  const started = performance.now();
  const problem = run();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${problem === null ? 'ok  ' : 'FAIL'} ${name} (${seconds} s)\n`);
  if (problem === null) continue;
  failures += 1;
  process.stdout.write(`${problem}\n`);
}
process.stdout.write(failures === 0 ? 'All checks passed.\n' : `${failures} of ${CHECKS.length} checks failed.\n`);
process.exitCode = failures === 0 ? 0 : 1;
