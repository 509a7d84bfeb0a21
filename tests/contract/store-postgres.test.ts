import { sql, type Kysely } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';

import { migrations } from '#actors/store/migrations.ts';
import { createPostgresStore } from '#actors/store/postgres/postgres-store.ts';
import { StaleEpoch } from '#actors/store/store.ts';
import { migrate } from '#runtime/database/orm.ts';
import { storeContract } from './store.contract.ts';
import { type Databases, openDatabases } from './store-databases.ts';
import { JOB, Scene } from './store-scene.ts';

let databases: Databases;
beforeAll(async () => {
  databases = await openDatabases();
});
afterAll(() => databases.close());

describe('the PostgreSQL store', () => {
  storeContract(async () => {
    const { orm, close } = await databases.fresh();
    return { store: createPostgresStore(orm), close };
  });
});

describe('the schema', () => {
  it('that the migrations make is the one of the entities', async () => {
    const { orm, close } = await databases.fresh();
    onTestFinished(close);
    expect(await orm.schema.getUpdateSchemaSQL()).toBe('');
    expect(await migrate(orm)).toEqual([]);
  });

  it('goes away as it came', async () => {
    const { orm, close } = await databases.empty();
    onTestFinished(close);
    const names = migrations.map(({ name }) => name);
    expect(await migrate(orm)).toEqual(names);
    await orm.migrator.down({ to: 0 });
    const { rows } = await sql<{ relname: string }>`
      select relname from pg_class where relnamespace = 'public'::regnamespace and relname not like 'mikro_orm_migrations%'
    `.execute(orm.em.fork().getKysely<unknown>());
    expect(rows).toEqual([]);
    expect(await migrate(orm)).toEqual(names);
  });
});

describe('beside an open transaction', () => {
  async function open(): Promise<{ scene: Scene; db: Kysely<unknown> }> {
    const { orm, close } = await databases.fresh();
    const scene = await Scene.open(async () => ({ store: createPostgresStore(orm), close }));
    return { scene, db: orm.em.fork().getKysely<unknown>() };
  }

  /** How many statements of this database wait for a lock. */
  async function waiting(db: Kysely<unknown>): Promise<number> {
    const { rows } = await sql`
      select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
    `.execute(db);
    return rows.length;
  }

  it('a claim walks past shards that are locked', async () => {
    const { scene, db } = await open();
    await scene.runningJob({ shards: { count: 3 }, quorum: 1 });
    await db.transaction().execute(async (tx) => {
      await sql`select id from job_shards where shard_index = 1 for update`.execute(tx);
      expect((await scene.claim(['a'])).map(({ index }) => index)).toEqual([0, 2]);
    });
    expect((await scene.claim(['a'])).map(({ index }) => index)).toEqual([1]);
  });

  it('a coordinator that takes the partitions waits for a write that still holds one, and then it is the last', async () => {
    const { scene, db } = await open();
    await scene.runningJob({ shards: { count: 1 }, quorum: 2 });
    const lease = await scene.lease('a');
    const { taking, committed } = await db.transaction().execute(async (tx) => {
      await sql`select id from job_shards for update`.execute(tx);
      const committed = scene.one(scene.vote(lease));
      await expect.poll(() => waiting(db)).toBe(1);
      const taking = scene.store.takePartitions('coordinator-2');
      await expect.poll(() => waiting(db)).toBe(2);
      return { committed, taking };
    });
    expect(await committed).toMatchObject({ applied: true });
    await taking;
    await expect(scene.one(scene.end(lease, 'failed'))).rejects.toThrow(StaleEpoch);
  });

  it('a coordinator that takes the partitions waits for a claim, too', async () => {
    const { scene, db } = await open();
    await scene.runningJob({ quorum: 1 });
    const { taking, claiming } = await db.transaction().execute(async (tx) => {
      await sql`update jobs set reason = 'held'`.execute(tx);
      const claiming = scene.claim(['a']);
      await expect.poll(() => waiting(db)).toBe(1);
      const taking = scene.store.takePartitions('coordinator-2');
      await expect.poll(() => waiting(db)).toBe(2);
      return { claiming, taking };
    });
    const [lease] = await claiming;
    expect(lease?.fence.epoch).toBe(scene.epoch());
    expect([...(await taking).values()]).not.toContain(lease?.fence.epoch);
    await expect(scene.claim(['b'])).rejects.toThrow(StaleEpoch);
  });

  it('a paused job gets no lease any more, not even from a claim that began before', async () => {
    const { scene, db } = await open();
    await scene.runningJob({ shards: { count: 1 }, quorum: 1 });
    const { claiming } = await db.transaction().execute(async (tx) => {
      await sql`update jobs set state = 'paused' where id = ${JOB}`.execute(tx);
      const claiming = scene.claim(['a']);
      await expect.poll(() => waiting(db)).toBe(1);
      return { claiming };
    });
    expect(await claiming).toEqual([]);
    expect(await scene.shard()).toMatchObject({ state: 'pending', wanted: 1 });
  });

  it('a batch that PostgreSQL ends to undo a deadlock is written by its second try', async () => {
    const { scene, db } = await open();
    await scene.runningJob({ shards: { count: 2 }, quorum: 1 });
    const leases = await scene.claim(['a']);
    const { batch } = await db.transaction().execute(async (tx) => {
      await sql`set local deadlock_timeout = '60s'`.execute(tx);
      await sql`select id from job_shards where shard_index = 1 for update`.execute(tx);
      const batch = scene.store.commit(leases.map((lease) => scene.vote(lease, 'accept')));
      await expect.poll(() => waiting(db)).toBe(1);
      // The batch holds shard 0 and waits for shard 1. Only its own side looks for deadlocks soon enough to find this one.
      await sql`select id from job_shards where shard_index = 0 for update`.execute(tx);
      return { batch };
    });
    expect((await batch).map(({ applied }) => applied)).toEqual([true, true]);
  });

  it('constraints catch what the rules would have to get wrong first', async () => {
    const { scene, db } = await open();
    await scene.runningJob({ quorum: 3 });
    const leases = await scene.claim(['a', 'b', 'c']);
    await scene.store.commit(leases.map((lease) => scene.vote(lease)));
    const copies = [
      sql`insert into shard_attempts select epoch, seq + 100, job_id, shard_id, shard_index, device, 'leased', 1 from shard_attempts
          union all select epoch, seq + 200, job_id, shard_id, shard_index, device, 'suspect', 1 from shard_attempts`,
      sql`insert into shard_results (epoch, seq, job_id, shard_id, shard_index, device, sha256, size, signature, at)
          select epoch, seq, job_id, shard_id, shard_index, device || '2', sha256, size, signature, at from shard_results`,
      sql`insert into shard_results (epoch, seq, job_id, shard_id, shard_index, device, sha256, size, signature, at)
          select epoch, seq + 100, job_id, shard_id, shard_index, device, sha256, size, signature, at from shard_results`,
      sql`update job_shards set wanted = -1`,
      sql`update job_shards set output_size = 1`,
      sql`update job_shards set state = 'odd'`,
    ];
    for (const copy of copies) await expect(copy.execute(db)).rejects.toThrow(/violates/);
  });
});
