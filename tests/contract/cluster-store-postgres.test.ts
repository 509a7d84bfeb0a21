import { sql, type Kysely } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { connectionName, createPostgresClusterStore } from '#runtime/cluster/postgres/cluster-store.ts';
import { createPostgresEntityStore } from '#runtime/cluster/postgres/entity-store.ts';
import { createPostgresTimerStore } from '#runtime/cluster/postgres/timer-store.ts';
import { connectSql } from '#runtime/database/sql-client.ts';
import { clusterStoreContract, type OpenedCluster } from './cluster-store.contract.ts';
import { type Databases, openDatabases } from './store-databases.ts';

let databases: Databases;
beforeAll(async () => {
  databases = await openDatabases();
});
afterAll(() => databases.close());

async function open(): Promise<OpenedCluster & { db: Kysely<unknown> }> {
  const { orm, close } = await databases.fresh();
  const db = orm.em.fork().getKysely<unknown>();
  return {
    db,
    store: createPostgresClusterStore(db),
    entities: createPostgresEntityStore(db),
    timers: createPostgresTimerStore(db),
    // The server's clock cannot be set; what it is compared with can.
    async pass(ms) {
      await sql`update cluster_nodes set lease_until = lease_until - ${ms}::int * interval '1 ms'`.execute(db);
      await sql`update cluster_timers set due_at = due_at - ${ms}::int * interval '1 ms'`.execute(db);
    },
    close,
  };
}

describe('the cluster in PostgreSQL', () => {
  clusterStoreContract(open);

  it('ends the transactions of a node that is declared dead, which would hold its partitions for ever', async () => {
    const { db, store, close } = await open();
    onTestFinished(close);
    const node = { id: 'frozen', address: 'http://a', host: 'h', publicKey: '00'.repeat(32), weight: 1 };
    const frozen = await store.join(node, 60_000);
    const survivor = await store.join({ ...node, id: 'survivor', address: 'http://b' }, 60_000);
    await store.takeOver(frozen, [1]);
    const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(db);
    const url = new URL(databases.url);
    url.pathname = `/${rows[0]?.name}`;
    const connection = await connectSql(url.href, 10_000);
    await connection.query(`set application_name = '${connectionName('frozen')}'`);
    await connection.query('begin');
    await connection.query('select * from partitions where id = 1 for share');
    await store.expire(frozen);
    expect([...(await store.takeOver(survivor, [1])).keys()]).toEqual([1]);
    await connection.close();
  });
});
