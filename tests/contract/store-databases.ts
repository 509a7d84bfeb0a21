import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';

import type { MikroORM } from '@mikro-orm/postgresql';

import { entities } from '#actors/store/entities.ts';
import { migrations } from '#actors/store/migrations.ts';
import type { DatabaseLog } from '#runtime/database/database-log.ts';
import { openDatabase } from '#runtime/database/open-database.ts';
import { openOrm, migrate } from '#runtime/database/orm.ts';
import { connectSql, type SqlClient } from '#runtime/database/sql-client.ts';

/** Databases on one server: the one of DATABASE_URL, or an embedded one that lives as long as the tests of a file. */
export interface Databases {
  /** Of the server. */
  readonly url: string;
  /** A migrated database of its own. */
  fresh(): Promise<TestDatabase>;
  /** One without a single table. */
  empty(): Promise<TestDatabase>;
  readonly close: () => Promise<void>;
}

export interface TestDatabase {
  readonly orm: MikroORM;
  /** Drops the database, which PostgreSQL refuses while anything is still connected to it. */
  readonly close: () => Promise<void>;
}

const quiet: DatabaseLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

export async function openDatabases(url = process.env['DATABASE_URL']): Promise<Databases> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-store-'));
  const server = await openDatabase({ dataFolder: folder, url, log: quiet });
  const admin = await connectSql(server.url, 10_000);
  const prefix = `store_${process.pid}_${Date.now().toString(36)}`;
  const template = `${prefix}_template`;
  let count = 0;

  await admin.query(`create database ${template}`);
  const orm = await ormOf(server.url, template);
  await migrate(orm);
  await orm.close(true);

  const create = async (from: string): Promise<TestDatabase> => {
    const name = `${prefix}_${(count += 1)}`;
    await admin.query(`create database ${name} template ${from}`);
    const own = await ormOf(server.url, name);
    return {
      orm: own,
      close: async () => {
        await own.close(true);
        await admin.query(`drop database ${name}`);
      },
    };
  };

  return {
    url: server.url,
    fresh: () => create(template),
    empty: () => create('template0'),
    close: async () => {
      await admin.query(`drop database ${template}`);
      const forgotten = await left(admin, prefix);
      await admin.close();
      await server.close();
      await rm(folder, { recursive: true });
      expect(forgotten).toEqual([]);
    },
  };
}

function ormOf(serverUrl: string, name: string): Promise<MikroORM> {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return openOrm({ url: url.href, entities, migrations, log: quiet });
}

async function left(admin: SqlClient, prefix: string): Promise<readonly string[]> {
  const rows = await admin.query<{ datname: string }>(`select datname from pg_database where datname like '${prefix}%'`);
  return rows.map((row) => row.datname);
}
