import { storableText } from '../storable-text.ts';
import type { Store } from '../store.ts';
import type { Tables } from './tables.ts';
import type { Connection } from './transaction.ts';

type Records = Pick<Store, 'recordModels' | 'recordEvents' | 'listEvents'>;

export function recordVerbs(connection: Connection, tables: Tables): Records {
  return {
    recordModels: (models, at) =>
      connection.transaction('recordModels', async (tx) => {
        await tx.statement();
        const files = new Map(models.map((model) => [`${model.sha256} ${model.name}`, model]));
        for (const name of [...files.keys()].sort()) await tx.lock('model', [name], 'update');
        for (const [name, model] of files) {
          tx.put(tables.models, name, { ...model });
          if (!tables.modelsFirstSeen.has(name)) tx.put(tables.modelsFirstSeen, name, at);
        }
      }),
    recordEvents: (events) =>
      connection.transaction('recordEvents', async (tx) => {
        await tx.statement();
        for (const event of events) {
          tx.append(tables.events, { ...event, subject: storableText(event.subject), text: storableText(event.text) });
        }
      }),
    listEvents: (subject, limit) =>
      connection.read('listEvents', () =>
        tables.events
          .toReversed()
          .filter((event) => subject === null || event.subject === subject)
          .slice(0, limit),
      ),
  };
}
