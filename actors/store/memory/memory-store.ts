import { randomBytes } from 'node:crypto';

import { storableText } from '../storable-text.ts';
import type { Store } from '../store.ts';
import { accessVerbs } from './access.ts';
import { claim } from './claim.ts';
import { commit } from './commit.ts';
import { deviceVerbs } from './devices.ts';
import { jobVerbs } from './jobs.ts';
import { emptyTables } from './tables.ts';

export interface MemoryStoreOptions {
  /** Makes the cluster secret; default: the operating system's randomness. A simulation gives its seeded one. */
  readonly randomBytes?: (length: number) => Uint8Array;
}

/**
 * The grid's memory without a database, for tests and simulation: the same verbs with the same meaning, gone with the
 * process. Every verb is one step: nothing ever runs beside it.
 */
export function createMemoryStore({ randomBytes: random = randomBytes }: MemoryStoreOptions = {}): Store {
  const tables = emptyTables();
  return {
    ...accessVerbs(tables, () => random(32)),
    ...deviceVerbs(tables),
    ...jobVerbs(tables),

    claim: async (request) => claim(tables, request),
    commit: async (changes) => commit(tables, changes),

    recordObject: async ({ sha256, size }) => {
      if (!tables.objects.has(sha256)) tables.objects.set(sha256, size);
    },
    hasObjects: async (sha256) =>
      new Map(
        sha256.flatMap((hash) => {
          const size = tables.objects.get(hash);
          return size === undefined ? [] : [[hash, size] as const];
        }),
      ),

    recordModels: async (models) => {
      for (const model of models) tables.models.set(`${model.sha256} ${model.name}`, { ...model });
    },
    recordUsage: async (usage) => {
      if (!tables.usage.has(usage.id)) tables.usage.set(usage.id, { ...usage });
    },
    recordEvents: async (events) => {
      for (const event of events) {
        tables.events.push({ ...event, subject: storableText(event.subject), text: storableText(event.text) });
      }
    },
    listEvents: async (subject, limit) =>
      tables.events
        .toReversed()
        .filter((event) => subject === null || event.subject === subject)
        .slice(0, limit),
  };
}
