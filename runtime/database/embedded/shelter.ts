import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, lchown, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { type Binaries, binariesIn } from './binaries.ts';
import { NOBODY } from './run-as.ts';

/**
 * A place for files that the user nobody must reach, when their own place lies below a folder that only root may enter.
 * Used only when root cannot make a user namespace.
 */
export const SHELTER = '/var/lib/corpgrid';

/** Whether a user without groups may enter all folders on the way to `target`. Access lists beyond the mode bits do not count. */
export async function mayEnter(target: string, uid: number): Promise<boolean> {
  for (let folder = path.resolve(target); ; folder = path.dirname(folder)) {
    const { mode, uid: owner } = await stat(folder);
    if ((mode & (owner === uid ? 0o100 : 0o001)) === 0) return false;
    if (folder === path.dirname(folder)) return true;
  }
}

/** The programs at a place where nobody may run them: their own, or a copy in the shelter. */
export async function shelterBinaries(binaries: Binaries, shelter: string): Promise<Binaries> {
  if (await mayEnter(path.dirname(binaries.postgres), NOBODY)) return binaries;
  const { mtimeMs, size } = await stat(binaries.postgres);
  const copy = path.join(shelter, `postgres-${shortHash(`${binaries.root} ${mtimeMs} ${size}`)}`);
  if (!existsSync(copy)) {
    await openShelter(shelter);
    const draft = `${copy}.new`;
    await rm(draft, { recursive: true, force: true });
    await cp(binaries.root, draft, { recursive: true, verbatimSymlinks: true });
    await letOthersRead(draft);
    await rename(draft, copy);
  }
  return binariesIn(copy);
}

/** Where the cluster of a data folder lives when it cannot live in the data folder. */
export async function shelteredPlace(dataFolder: string, shelter: string): Promise<string> {
  const folder = path.join(shelter, `data-${shortHash(dataFolder)}`);
  await openShelter(shelter);
  await mkdir(folder, { recursive: true });
  await chmod(folder, 0o755);
  return path.join(folder, path.basename(dataFolder));
}

/** Copies a cluster that has not run yet in its new place; an interrupted copy is begun anew. */
export async function copyCluster(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
}

/** Gives a folder and all that is in it to a user. */
export async function giveTo(folder: string, uid: number, gid: number): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true })) await lchown(path.join(folder, entry), uid, gid);
  await chown(folder, uid, gid);
}

async function openShelter(shelter: string): Promise<void> {
  await mkdir(shelter, { recursive: true });
  await chmod(shelter, 0o755);
}

async function letOthersRead(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const executable = entry.isDirectory() || ((await stat(file)).mode & 0o100) !== 0;
    await chmod(file, executable ? 0o755 : 0o644);
  }
  await chmod(folder, 0o755);
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
