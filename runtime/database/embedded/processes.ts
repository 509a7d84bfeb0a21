import { readFileSync } from 'node:fs';
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';

/** Questions about processes that are not our children. Only Linux answers the ones that need `/proc`. */

/** Whether the process still runs. One that has ended, and waits for its parent to take note, does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  return process.platform !== 'linux' || statFields(readStat(pid))[0] !== 'Z';
}

/** The text of `/proc/<pid>/stat`, which the kernel makes up on the spot: reading it waits for no disk. Empty when it is gone. */
function readStat(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return '';
  }
}

/** The fields from the third on: the second is the name in brackets and may hold anything. */
function statFields(stat: string): readonly string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** When a process began, in the kernel's ticks: with the pid it names one process for ever. Null where nobody can say. */
export function startedAt(pid: number): string | null {
  return statFields(readStat(pid))[19] ?? null;
}

/** Whether the process is a PostgreSQL at work in this folder (a server and all its children live in it). Null: cannot tell. */
export async function isPostgresIn(pid: number, dataFolder: string): Promise<boolean | null> {
  if (process.platform !== 'linux') return null;
  try {
    const [name, folder, wanted] = await Promise.all([
      readFile(`/proc/${pid}/comm`, 'utf8'),
      readlink(`/proc/${pid}/cwd`),
      realpath(dataFolder),
    ]);
    return name.trim() === 'postgres' && folder === wanted;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === 'ENOENT' || code === 'ESRCH' ? false : null;
  }
}

/** The pids of all PostgreSQL processes in this folder. Empty where nobody can say. */
export async function postgresIn(dataFolder: string): Promise<number[]> {
  if (process.platform !== 'linux') return [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => isPostgresIn(pid, dataFolder)));
  return pids.filter((_, index) => found[index] === true);
}

/** Sends a signal; a process that is gone already is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
