import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { GridError } from '#runtime/errors.ts';

import { recordOf, staleness, type Inputs } from './ui-staleness.ts';

/**
 * Builds the web pages into `ui/dist`. `npm run build:ui` always builds; the coordinator calls `ensureUiBuilt` at its
 * start, which builds only when a source has changed.
 */

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const OUTPUT = 'ui/dist';
const RECORD = '.inputs';
/** What the pages are made of: their own room, the contract, the pure parts of identity, the versions of everything else. */
const SOURCES = ['ui', 'actors/contract', 'runtime/identity', 'tsconfig.json', 'package-lock.json'];

function read(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** All inputs of the build with their hashes. */
export function uiInputs(root: string = ROOT): Inputs {
  const inputs = new Map<string, string>();
  const take = (relative: string): void => {
    inputs.set(
      relative,
      createHash('sha256')
        .update(readFileSync(path.join(root, relative)))
        .digest('hex'),
    );
  };
  for (const source of SOURCES) {
    if (path.extname(source) !== '') {
      take(source);
      continue;
    }
    for (const entry of readdirSync(path.join(root, source), { recursive: true, withFileTypes: true })) {
      const relative = path.relative(root, path.join(entry.parentPath, entry.name)).replaceAll(path.sep, '/');
      if (entry.isFile() && !relative.startsWith(`${OUTPUT}/`)) take(relative);
    }
  }
  return inputs;
}

/** Why `ui/dist` must be built anew; null when it is fresh. */
export function uiStaleness(root: string = ROOT): string | null {
  const output = path.join(root, OUTPUT);
  return staleness({
    current: uiInputs(root),
    recorded: read(path.join(output, RECORD)),
    complete: read(path.join(output, 'index.html')) !== null,
  });
}

/**
 * Builds the pages. They appear at once or not at all: the build goes to a folder beside the packages and is renamed.
 *
 * @throws GridError BAD_CONFIGURATION when the build's tools are not installed
 */
export async function buildUi(root: string = ROOT): Promise<void> {
  const tools = await import('vite').catch((cause: unknown) => {
    throw new GridError('BAD_CONFIGURATION', 'The web pages are not built, and their build tools are not installed.', {
      fix: 'Run `npm ci` with development dependencies, or start where ui/dist was built.',
      cause,
    });
  });
  // Hashed before the build: a file that changes meanwhile makes the next start build again.
  const record = recordOf(uiInputs(root));
  const fresh = path.join(root, 'node_modules', '.cache', `corpgrid-ui-${process.pid}`);
  const output = path.join(root, OUTPUT);
  try {
    await tools.build({
      configFile: path.join(root, 'ui', 'vite.config.ts'),
      logLevel: 'warn',
      build: { outDir: fresh, emptyOutDir: true },
    });
    writeFileSync(path.join(fresh, RECORD), record);
    rmSync(output, { recursive: true, force: true });
    renameSync(fresh, output);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/**
 * Builds the pages when they are missing or stale, and answers whether it did. `tell` hears why before the work starts.
 *
 * @throws GridError BAD_CONFIGURATION as `buildUi` does
 */
export async function ensureUiBuilt(tell: (line: string) => void = () => {}, root: string = ROOT): Promise<boolean> {
  const why = uiStaleness(root);
  if (why === null) return false;
  tell(`Building the web pages: ${why}`);
  await buildUi(root);
  return true;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const started = performance.now();
  await buildUi();
  process.stdout.write(`Built ${OUTPUT} in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}
