import { GridError } from '#runtime/errors.ts';
import { runProgram } from './run-program.ts';

/**
 * As whom the server runs. PostgreSQL refuses to run as root, so under root there is a ladder:
 *
 * 1. `namespace`: a user namespace in which root looks like nobody. The files stay root's, also below a folder that only
 *    root may enter. Some containers forbid it.
 * 2. `nobody`: the process gives up root for the user nobody. Files that nobody cannot reach move to a shelter.
 *
 * Everybody else runs it as `self`.
 */
export interface RunAs {
  readonly way: Way;
  /** Words before the program's own. */
  readonly prefix: readonly string[];
  readonly ids: { readonly uid?: number; readonly gid?: number };
}

export type Way = 'self' | 'namespace' | 'nobody';

/** The user nobody. It must have an entry in the list of users, or PostgreSQL does not start. */
export const NOBODY = 65_534;

const WAYS: Record<Way, RunAs> = {
  self: { way: 'self', prefix: [], ids: {} },
  namespace: { way: 'namespace', prefix: ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`], ids: {} },
  nobody: { way: 'nobody', prefix: [], ids: { uid: NOBODY, gid: NOBODY } },
};

/** The ways that may work for this process, best first. */
export function waysHere(): readonly Way[] {
  return process.platform === 'win32' || process.getuid?.() !== 0 ? ['self'] : ['namespace', 'nobody'];
}

/**
 * The first of the ways that this machine allows.
 * @throws GridError DATABASE when it allows none
 */
export async function chooseRunAs(ways: readonly Way[] = waysHere()): Promise<RunAs> {
  const refusals: string[] = [];
  for (const way of ways) {
    const runAs = WAYS[way];
    if (way === 'self') return runAs;
    const result = await runProgram([...runAs.prefix, 'true'], runAs.ids);
    if (result.status === 0) return runAs;
    refusals.push(`${way}: ${result.stderr.trim() || (result.code ?? `status ${result.status}`)}`);
  }
  throw new GridError(
    'DATABASE',
    `PostgreSQL refuses to run as root, and this machine lets root become nobody else (${refusals.join('; ')}).`,
    {
      fix: 'Start CorpGrid as an ordinary user, or set DATABASE_URL to a PostgreSQL 15 or newer.',
    },
  );
}

/** The user who must own the cluster's files. Null: ownership means nothing here. */
export function fileOwner(runAs: RunAs): number | null {
  return process.platform === 'win32' ? null : (runAs.ids.uid ?? process.getuid?.() ?? null);
}

/** Makes a Linux server stop when the thread that started it ends. It must be the last thing before the program itself. */
export async function parentDeathGuard(): Promise<readonly string[]> {
  if (process.platform !== 'linux') return [];
  const guard = ['setpriv', '--pdeathsig', 'INT'];
  return (await runProgram([...guard, 'true'])).status === 0 ? guard : [];
}
