import type { Store } from '../store.ts';
import type { Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

type Models = Pick<Store, 'storeModel' | 'listStoredModels' | 'removeStoredModel'>;

export function modelVerbs(connection: Connection, tables: Tables): Models {
  return {
    storeModel: (model) =>
      connection.transaction('storeModel', async (tx) => {
        await tx.statement();
        await tx.lock('storedModel', [model.name], 'update');
        const known = tables.storedModels.get(model.name);
        if (known !== undefined && known.sha256 !== model.sha256) return false;
        tx.put(tables.storedModels, model.name, known === undefined ? { ...model } : { ...known, source: model.source });
        return true;
      }),
    listStoredModels: () =>
      connection.read('listStoredModels', () => [...tables.storedModels.values()].sort((a, b) => (a.name < b.name ? -1 : 1))),
    removeStoredModel: (name) =>
      connection.transaction('removeStoredModel', async (tx) => {
        await tx.statement();
        await tx.lock('storedModel', [name], 'update');
        const known = tables.storedModels.get(name) ?? null;
        if (known !== null) tx.remove(tables.storedModels, name);
        return known;
      }),
  };
}
