import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import path from 'node:path';

/** A file below a root: its path with `/` between the parts, and its size in bytes. */
export interface FoundFile {
  readonly path: string;
  readonly size: number;
}

export interface Walk {
  /** In byte order of their paths, the same on every system. */
  readonly files: readonly FoundFile[];
  /** What matched and was not taken, with the reason. */
  readonly leftOut: readonly { readonly path: string; readonly reason: string }[];
}

/**
 * Finds the files below `root` that match one of `include` and none of `exclude` (globs for the path below the root; a
 * folder that `exclude` matches is not entered). Follows no symbolic link and takes no pipe, socket or device.
 * Throws when the root itself cannot be read.
 */
export async function walkFiles(root: string, include: readonly string[], exclude: readonly string[]): Promise<Walk> {
  const files: FoundFile[] = [];
  const leftOut: { path: string; reason: string }[] = [];
  const matches = (patterns: readonly string[], file: string): boolean => patterns.some((pattern) => path.posix.matchesGlob(file, pattern));
  const refuse = (file: string, error: unknown): void => {
    leftOut.push({ path: file, reason: reasonOf(error) });
  };

  async function visit(folder: string): Promise<void> {
    for (const entry of await readdir(path.join(root, folder), { withFileTypes: true })) {
      const file = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (matches(exclude, file)) continue;
      if (entry.isDirectory()) await visit(file).catch((error: unknown) => refuse(file, error));
      else if (matches(include, file)) await take(file, entry.isFile(), entry.isSymbolicLink());
    }
  }

  async function take(file: string, regular: boolean, link: boolean): Promise<void> {
    if (!regular) {
      leftOut.push({ path: file, reason: link ? 'is a symbolic link' : 'is not a regular file' });
      return;
    }
    const full = path.join(root, file);
    try {
      await access(full, constants.R_OK);
      files.push({ path: file, size: (await stat(full)).size });
    } catch (error) {
      refuse(file, error);
    }
  }

  await visit('');
  return { files: files.sort(byPath), leftOut: leftOut.sort(byPath) };
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'EACCES' || code === 'EPERM' ? 'may not be read' : `cannot be read (${String(code ?? error)})`;
}

function byPath(a: { path: string }, b: { path: string }): number {
  return Buffer.compare(Buffer.from(a.path), Buffer.from(b.path));
}
