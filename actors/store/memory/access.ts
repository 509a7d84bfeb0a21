import { storableText } from '../storable-text.ts';
import type { Store } from '../store.ts';
import type { Tables } from './tables.ts';

type Access = Pick<
  Store,
  'takePartitions' | 'clusterSecret' | 'createApiKey' | 'findApiKey' | 'listApiKeys' | 'revokeApiKey' | 'createEnrolmentToken'
>;

export function accessVerbs(tables: Tables, makeSeed: () => Uint8Array): Access {
  return {
    takePartitions: async () => {
      for (const [partition, epoch] of tables.epochs) tables.epochs.set(partition, epoch + 1);
      return new Map(tables.epochs);
    },
    clusterSecret: async () => new Uint8Array((tables.secret ??= makeSeed())),
    createApiKey: async (row, hash) => {
      if (tables.apiKeys.has(hash) || [...tables.apiKeys.values()].some(({ id }) => id === row.id)) {
        throw new Error(`API key ${row.id} is there already.`);
      }
      tables.apiKeys.set(hash, { ...row, name: storableText(row.name) });
    },
    findApiKey: async (hash) => {
      const key = tables.apiKeys.get(hash);
      return key && key.revokedAt === null ? { ...key } : null;
    },
    listApiKeys: async () =>
      [...tables.apiKeys.values()].map((key) => ({ ...key })).sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)),
    revokeApiKey: async (id, at) => {
      for (const [hash, key] of tables.apiKeys) {
        if (key.id !== id || key.revokedAt !== null) continue;
        tables.apiKeys.set(hash, { ...key, revokedAt: at });
        return true;
      }
      return false;
    },
    createEnrolmentToken: async ({ hash, uses, expiresAt }) => {
      if (tables.tokens.has(hash)) throw new Error('This enrolment token is there already.');
      tables.tokens.set(hash, { usesLeft: uses, expiresAt });
    },
  };
}
