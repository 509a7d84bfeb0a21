import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { createPostgresStore } from '#actors/store/postgres/postgres-store.ts';
import { startPostgres15, type Postgres15 } from '#tests/support/postgres-15.ts';
import { storeContract } from './store.contract.ts';
import { type Databases, openDatabases } from './store-databases.ts';

let server: Postgres15;
let databases: Databases;
beforeAll(async () => {
  server = await startPostgres15();
  databases = await openDatabases(server.url);
});
afterAll(async () => {
  await databases?.close();
  await server.end();
});

describe('the PostgreSQL store on the oldest server that is supported', () => {
  storeContract(async () => {
    const { orm, close } = await databases.fresh();
    return { store: createPostgresStore(orm), close };
  });

  it('has the schema of the entities there, too', async () => {
    const { orm, close } = await databases.fresh();
    onTestFinished(close);
    expect(await orm.schema.getUpdateSchemaSQL()).toBe('');
  });
});
