import path from 'node:path';
import { readIfPresent } from './cluster-memory.ts';

/** What a running server says about itself in `postmaster.pid`. */
export interface PostmasterPid {
  readonly pid: number;
  readonly dataFolder: string;
  /** Null while the server has not come that far. */
  readonly port: number | null;
  readonly status: 'starting' | 'ready' | 'standby' | 'stopping' | null;
}

const STATUS = new Set(['starting', 'ready', 'standby', 'stopping']);

/**
 * Reads the lines of `postmaster.pid`: 1 pid, 2 data folder, 4 port, 8 status (PostgreSQL's `miscadmin.h`, LOCK_FILE_LINE_*).
 * Answers null for anything that does not begin with a pid and a folder, such as a file that is being written.
 */
export function parsePostmasterPid(text: string): PostmasterPid | null {
  const lines = text.split('\n').map((line) => line.trim());
  // A server in single-user mode writes its pid as a negative number.
  const pid = Math.abs(integer(lines[0]) ?? 0);
  const dataFolder = lines[1] ?? '';
  if (pid === 0 || dataFolder === '') return null;
  const status = lines[7] ?? '';
  return { pid, dataFolder, port: integer(lines[3]), status: STATUS.has(status) ? (status as PostmasterPid['status']) : null };
}

export async function readPostmasterPid(dataFolder: string): Promise<PostmasterPid | null> {
  const text = await readIfPresent(path.join(dataFolder, 'postmaster.pid'));
  return text === null ? null : parsePostmasterPid(text);
}

function integer(text: string | undefined): number | null {
  return text !== undefined && /^-?\d{1,10}$/.test(text) ? Number(text) : null;
}
