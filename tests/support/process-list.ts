import { execFileSync } from 'node:child_process';

/** The living processes that `parent` started, by `ps` (Linux and macOS). A zombie is not living. */
export function childrenOf(parent: number): number[] {
  return list()
    .filter((process) => process.parent === parent && !process.state.startsWith('Z'))
    .map((process) => process.id);
}

/** Whether the process runs; one that ended and was not collected yet does not. */
export function isAlive(id: number): boolean {
  return list().some((process) => process.id === id && !process.state.startsWith('Z'));
}

function list(): { id: number; parent: number; state: string }[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,stat=,comm='], { encoding: 'utf8' }).trim().split('\n');
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , command]) => command !== 'ps')
    .map(([id, parent, state]) => ({ id: Number(id), parent: Number(parent), state: state ?? '' }));
}
