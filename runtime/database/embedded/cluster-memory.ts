import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { GridError } from '#runtime/errors.ts';

const MemorySchema = z.object({
  /** Random name of this cluster; the running server carries it as `cluster_name`. Not a secret. */
  token: z.string().regex(/^corpgrid-[0-9a-f]{32}$/),
  /** The port of the last run, wanted again. */
  port: z.int().min(1).max(65_535).nullable(),
  /** The cluster's folder when it had to move away from the data folder. */
  place: z.string().nullable(),
});

/** What is remembered of a cluster between two runs. */
export type ClusterMemory = z.infer<typeof MemorySchema>;

/** A memory for a cluster that is about to be made. */
export function newMemory(): ClusterMemory {
  return { token: `corpgrid-${randomBytes(16).toString('hex')}`, port: null, place: null };
}

/** @throws GridError DATABASE when the file is there and is not what `rememberCluster` wrote */
export async function recallCluster(file: string): Promise<ClusterMemory | null> {
  const text = await readIfPresent(file);
  if (text === null) return null;
  try {
    return MemorySchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new GridError('DATABASE', `The file ${file} is damaged.`, {
      path: file,
      fix: 'Delete it: token and port are then chosen anew. (If it named a "place", move that folder back to pg18 first.)',
      cause,
    });
  }
}

/** Replaces the file as a whole: a reader sees the old memory or the new one. */
export async function rememberCluster(file: string, memory: ClusterMemory): Promise<void> {
  await writeFile(`${file}.new`, `${JSON.stringify(memory)}\n`, { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
}

/** The text of a file, or null when there is none. */
export async function readIfPresent(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
