import { constants } from 'node:fs';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';

import { GridError } from '#runtime/errors.ts';

/** Where one agent keeps what must outlive it. */
export interface StateFolder {
  readonly root: string;
  readonly keys: string;
  /** Verified modules by hash. */
  readonly cache: string;
  /** One folder per running attempt; emptied at each start. */
  readonly work: string;
  /** Lets another agent have the folder. */
  release(): Promise<void>;
  /** As `release`; a folder that was made just now, for a start that came to nothing, goes again. */
  abandon(): Promise<void>;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, and somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Opens the folder for this process alone. A lock whose owner is dead is taken over. */
export async function openStateFolder(root: string): Promise<StateFolder> {
  const made = await mkdir(root, { recursive: true, mode: 0o700 });
  const lock = path.join(root, 'agent.lock');
  for (let tries = 0; ; tries++) {
    try {
      const file = await open(lock, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
      await file.writeFile(String(process.pid));
      await file.close();
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const owner = Number(await readFile(lock, 'utf8').catch(() => '0'));
      if (tries > 0 || (owner > 0 && owner !== process.pid && isAlive(owner))) {
        throw new GridError('BAD_CONFIGURATION', `another agent (process ${owner}) uses ${root}`, {
          path: '--state',
          fix: 'stop it, or give this agent another folder with --state',
        });
      }
      await rm(lock, { force: true });
    }
  }
  const work = path.join(root, 'work');
  await rm(work, { recursive: true, force: true });
  const folders = { keys: path.join(root, 'keys'), cache: path.join(root, 'cache'), work };
  for (const folder of [folders.cache, folders.work]) await mkdir(folder, { recursive: true, mode: 0o700 });
  return {
    root,
    ...folders,
    release: () => rm(lock, { force: true }),
    abandon: () => (made === undefined ? rm(lock, { force: true }) : rm(root, { recursive: true, force: true })),
  };
}
