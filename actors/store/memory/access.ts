import { principalOf } from '../principal.ts';
import { storableText } from '../storable-text.ts';
import type { Store } from '../store.ts';
import type { Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

type Access = Pick<
  Store,
  'takePartitions' | 'clusterSecret' | 'createApiKey' | 'findApiKey' | 'listApiKeys' | 'revokeApiKey' | 'createEnrolmentToken'
>;

export function accessVerbs(connection: Connection, tables: Tables, makeSeed: () => Uint8Array): Access {
  return {
    takePartitions: () =>
      connection.transaction('takePartitions', async (tx) => {
        await tx.statement();
        await tx.lock('partition', tables.epochs.keys(), 'update');
        await tx.statement();
        const taken = new Map<number, number>();
        for (const [partition, epoch] of tables.epochs) {
          taken.set(partition, epoch + 1);
          tx.put(tables.epochs, partition, epoch + 1);
        }
        return taken;
      }),
    clusterSecret: () =>
      connection.transaction('clusterSecret', async (tx) => {
        await tx.statement();
        await tx.lock('secret', ['object-urls'], 'update');
        const kept = tables.secrets.get('object-urls');
        if (kept) return new Uint8Array(kept);
        const made = makeSeed();
        tx.put(tables.secrets, 'object-urls', made);
        return new Uint8Array(made);
      }),
    createApiKey: (row, hash) =>
      connection.transaction('createApiKey', async (tx) => {
        await tx.statement();
        await tx.lock('api key', [hash, row.id].toSorted(), 'update');
        if (tables.apiKeys.has(hash) || [...tables.apiKeys.values()].some(({ id }) => id === row.id)) {
          throw new Error(`API key ${row.id} is there already.`);
        }
        tx.put(tables.apiKeys, hash, { ...row, name: storableText(row.name) });
      }),
    findApiKey: (hash) =>
      connection.read('findApiKey', () => {
        const key = tables.apiKeys.get(hash);
        return key && key.revokedAt === null ? { ...key } : null;
      }),
    listApiKeys: () =>
      connection.read('listApiKeys', () =>
        [...tables.apiKeys.values()].map((key) => ({ ...key })).sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1)),
      ),
    revokeApiKey: (id, at) =>
      connection.transaction('revokeApiKey', async (tx) => {
        await tx.statement();
        await tx.lock('api key', [id], 'update');
        for (const [hash, key] of tables.apiKeys) {
          if (key.id !== id || key.revokedAt !== null) continue;
          tx.put(tables.apiKeys, hash, { ...key, revokedAt: at });
          return true;
        }
        return false;
      }),
    createEnrolmentToken: ({ hash, uses, expiresAt, owner, trusted = false }) =>
      connection.transaction('createEnrolmentToken', async (tx) => {
        await tx.statement();
        await tx.lock('token', [hash], 'update');
        if (tables.tokens.has(hash)) throw new Error('This enrolment token is there already.');
        tx.put(tables.tokens, hash, { usesLeft: uses, expiresAt, principal: principalOf(hash, owner), trusted });
      }),
  };
}
