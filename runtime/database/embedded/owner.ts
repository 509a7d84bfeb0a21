import { link, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { GridError } from '#runtime/errors.ts';
import { readIfPresent } from './cluster-memory.ts';
import { isAlive, startedAt } from './processes.ts';

const OwnerSchema = z.object({ pid: z.int(), startedAt: z.string().nullable() });

/**
 * Makes this process the owner of a data folder, until the answered function is called.
 *
 * The owner of a dead process counts for nothing: its server, if it still runs, is an orphan that the next owner adopts.
 * @throws GridError DATABASE while a living process owns the folder, this one included
 */
export async function claimFolder(file: string, root: string): Promise<() => Promise<void>> {
  const draft = `${file}.${process.pid}`;
  const own = JSON.stringify({ pid: process.pid, startedAt: startedAt(process.pid) });
  await writeFile(draft, own, { mode: 0o600 });
  try {
    // A second round is enough: it follows the removal of a dead owner, and a file that is there again has a living one.
    if (!(await linked(draft, file))) {
      await refuseLiving(file, root);
      await rm(file, { force: true });
      if (!(await linked(draft, file))) throw inUse(root, null);
    }
  } finally {
    await rm(draft, { force: true });
  }
  return async () => {
    if ((await readIfPresent(file)) === own) await rm(file, { force: true });
  };
}

/** `link` fails when the file is there, and the file is complete at once. */
async function linked(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

async function refuseLiving(file: string, root: string): Promise<void> {
  const owner = OwnerSchema.safeParse(parseJson((await readIfPresent(file)) ?? ''));
  if (!owner.success || !isAlive(owner.data.pid)) return;
  const began = startedAt(owner.data.pid);
  const reused = began !== null && owner.data.startedAt !== null && began !== owner.data.startedAt;
  if (!reused) throw inUse(root, owner.data.pid);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function inUse(root: string, pid: number | null): GridError {
  const who = pid === process.pid ? 'this process already' : pid === null ? 'another process' : `another process (${pid})`;
  return new GridError('DATABASE', `The data folder ${root} is in use by ${who}.`, {
    path: root,
    fix: 'Stop that one first, or use another data folder; several coordinators share one database through DATABASE_URL.',
  });
}
