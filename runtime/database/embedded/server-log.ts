import { open, rename, stat } from 'node:fs/promises';
import { readIfPresent } from './cluster-memory.ts';

const LARGEST = 4 * 1024 * 1024;

/** The open log of one run of the server. */
export interface ServerLog {
  readonly fd: number;
  close(): Promise<void>;
  /** The last lines that this run has written, for an error message. */
  tail(): Promise<string>;
}

/**
 * Opens the server's log to append. A log of more than 4 MiB becomes `<file>.1` first, in place of the one before, so the
 * two together stay bounded by what one run writes.
 */
export async function openServerLog(file: string, largest = LARGEST): Promise<ServerLog> {
  const size = await sizeOf(file);
  if (size > largest) await rename(file, `${file}.1`);
  const handle = await open(file, 'a', 0o600);
  const { size: from } = await handle.stat();
  return {
    fd: handle.fd,
    close: () => handle.close(),
    async tail() {
      const text = (await readIfPresent(file)) ?? '';
      return Buffer.from(text).subarray(from).toString('utf8').trim().split('\n').slice(-8).join('\n').slice(-2_000);
    },
  };
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then(
    (found) => found.size,
    () => 0,
  );
}
