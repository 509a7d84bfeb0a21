import type { AnyEntity, Constructor, EntityClass, EntitySchema, MigrationObject } from '@mikro-orm/core';
import { Migrator, type Migration } from '@mikro-orm/migrations';
import { defineConfig, MikroORM, type Options } from '@mikro-orm/postgresql';
import { sql } from 'kysely';
import { GridError } from '#runtime/errors.ts';
import type { DatabaseLog } from './database-log.ts';
import { checkDatabaseUrl, databaseName } from './database-url.ts';

export interface OrmOptions {
  /** `Database.url` of an opened database. */
  readonly url: string;
  readonly entities: readonly (EntityClass<AnyEntity> | EntitySchema)[];
  readonly migrations: readonly (MigrationObject | Constructor<Migration>)[];
  readonly log: DatabaseLog;
  /** How the server's administrators see the connections; default `corpgrid`. */
  readonly applicationName?: string;
  /** Connections at most; default 10. At least 2, because `migrate` holds one while another one migrates. */
  readonly poolSize?: number;
}

/** The part of `pg-pool` that is used here; MikroORM hands it out without its types. */
interface PgPool {
  on(event: 'error', listener: (error: Error) => void): void;
  readonly options: { readonly types: { setTypeParser(oid: number, parse: (text: string) => unknown): void } };
}

const INT8 = 20;
/** "corpgrid" in a big-endian 64-bit integer: the advisory lock that all starters of CorpGrid agree on. */
const MIGRATION_LOCK = 7_165_071_359_267_203_428n;
const MIGRATION_WAIT = '120s';

/**
 * MikroORM on the given database. It connects with the first statement; `orm.close()` ends all connections.
 *
 * - The pool outlives its connections: an idle one that dies with its server is logged and replaced, never a crash.
 * - `bigint` columns and `count(*)` come as numbers, and a value above 2^53 rejects its statement instead of being rounded.
 *   (Raw `bigint[]` columns still come as texts, `timestamptz` too.)
 * - All settings of the address count (`?sslmode=…`); MikroORM itself would read only host, port, user and database.
 * - There is no global entity manager: `orm.em.fork()` for each unit of work.
 */
export async function openOrm(options: OrmOptions): Promise<MikroORM> {
  return MikroORM.init(ormConfig(options));
}

/** The configuration of `openOrm`; the MikroORM command line gets the same one. */
export function ormConfig({ url, entities, migrations, log, applicationName = 'corpgrid', poolSize = 10 }: OrmOptions): Options {
  return defineConfig({
    dbName: databaseName(checkDatabaseUrl(url)),
    entities: [...entities],
    extensions: [Migrator],
    ensureDatabase: false,
    discovery: { warnWhenNoEntities: false },
    // Functions stand in migrations, and in no entity that they could be compared with.
    schemaGenerator: { ignoreRoutines: true },
    migrations: { migrationsList: [...migrations], snapshot: false, silent: true },
    pool: { max: Math.max(2, poolSize) },
    driverOptions: {
      connectionString: url,
      application_name: applicationName,
      connectionTimeoutMillis: 30_000,
      keepAlive: true,
      onPoolCreated: (pool: PgPool) => preparePool(pool, log),
    },
    logger: (message) => log.info({ source: 'mikro-orm' }, message),
  });
}

function preparePool(pool: PgPool, log: DatabaseLog): void {
  pool.on('error', (error) => log.warn({ error: error.message }, 'An idle database connection was lost; the pool opens another one.'));
  pool.options.types.setTypeParser(INT8, parseInt8);
}

/** PostgreSQL's `bigint` as a number. @throws RangeError above 2^53, where numbers have gaps */
export function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value))
    throw new RangeError(`The bigint ${text} does not fit a JavaScript number; cast it to text in the statement.`);
  return value;
}

/**
 * Applies the migrations that the database has not seen, all or none, and answers their names.
 *
 * Any number of processes may call this at once: an advisory lock lets one work, the others wait and then find nothing to
 * do. The lock belongs to a transaction, so the death of its holder frees it.
 * @throws GridError DATABASE when another process holds the lock for more than two minutes; the driver's error otherwise
 */
export async function migrate(orm: MikroORM): Promise<readonly string[]> {
  const kysely = orm.em.fork().getKysely();
  return kysely.transaction().execute(async (transaction) => {
    await sql`select set_config('lock_timeout', ${MIGRATION_WAIT}, true)`.execute(transaction);
    try {
      await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK.toString()}::bigint)`.execute(transaction);
    } catch (error) {
      throw isLockTimeout(error) ? lockHeld(error) : error;
    }
    const applied = await orm.migrator.up();
    return applied.map((migration) => migration.name);
  });
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '55P03';
}

function lockHeld(cause: unknown): GridError {
  return new GridError('DATABASE', 'Another CorpGrid process has been migrating this database for more than two minutes.', {
    fix: 'Wait until it has ended and start again; pg_locks (locktype "advisory") names its connection.',
    cause,
  });
}
