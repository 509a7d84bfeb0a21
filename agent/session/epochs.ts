import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { z } from 'zod';

import { writeDurably } from './durable-file.ts';

const Stored = z.record(z.string().regex(/^\d{1,3}$/), z.number().int().nonnegative());

/** The highest epoch seen of each partition. An agent is the second fenced resource: it obeys no lower one. */
export interface Epochs {
  /** True when the command may be obeyed. A higher epoch is on disk before the answer. */
  admit(partition: number, epoch: number): Promise<boolean>;
  all(): Record<string, number>;
}

export async function openEpochs(folder: string): Promise<Epochs> {
  const file = path.join(folder, 'epochs.json');
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  const highest = new Map(Object.entries(Stored.parse(JSON.parse(text))));
  let writing = Promise.resolve();

  return {
    async admit(partition, epoch) {
      const key = String(partition);
      const known = highest.get(key) ?? -1;
      if (epoch < known) return false;
      if (epoch > known) {
        highest.set(key, epoch);
        // One writer at a time: each write holds all that was set before it.
        writing = writing.then(() => writeDurably(file, JSON.stringify(Object.fromEntries(highest))));
      }
      await writing;
      return true;
    },
    all() {
      return Object.fromEntries(highest);
    },
  };
}
