import { MikroORM } from '@mikro-orm/postgresql';
import { checkDatabaseUrl, databaseName } from './database-url.ts';

/** One connection of its own, outside every pool: for questions about a server, and to notice when it goes away. */
export interface SqlClient {
  /** Runs a statement without parameters. Rejects with the driver's error. */
  query<Row extends object>(sql: string): Promise<readonly Row[]>;
  /** Called once when the connection ends, for whatever reason; at once when it has ended already. */
  onEnd(listener: () => void): void;
  /** Lets the process end although this connection is open. */
  unref(): void;
  close(): Promise<void>;
}

/** The part of `pg` that is used here; MikroORM hands it out without its types. */
interface PgClient {
  query(sql: string): Promise<{ rows: object[] }>;
  on(event: 'error' | 'end', listener: () => void): void;
  release(destroy: boolean): void;
  readonly connection: { readonly stream: { unref?: () => void } };
}

interface PgPool {
  connect(): Promise<PgClient>;
}

/**
 * Connects to the server of `url`.
 *
 * The driver is MikroORM's own, without entities: one driver and one understanding of addresses in the whole program.
 * @param timeoutMs how long connecting may take
 * @throws the driver's error (ECONNREFUSED, SQLSTATE 28P01, …) when there is no connection to be had
 */
export async function connectSql(url: string, timeoutMs: number): Promise<SqlClient> {
  const orm = new MikroORM({
    dbName: databaseName(checkDatabaseUrl(url)),
    entities: [],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
    driverOptions: {
      connectionString: url,
      application_name: 'corpgrid watch',
      connectionTimeoutMillis: timeoutMs,
      keepAlive: true,
      max: 1,
    },
    logger: () => undefined,
  });
  let client: PgClient;
  try {
    const pool = (await orm.em.getConnection().getNativeClient()) as unknown as PgPool;
    client = await pool.connect();
  } catch (error) {
    await orm.close(true);
    throw error;
  }
  const ended = Promise.withResolvers<void>();
  client.on('error', () => ended.resolve());
  client.on('end', () => ended.resolve());
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    client.release(true);
    await orm.close(true);
  };
  return {
    query: async <Row extends object>(sql: string) => (await client.query(sql)).rows as Row[],
    onEnd: (listener) => void ended.promise.then(listener),
    unref: () => client.connection.stream.unref?.(),
    close: () => (closed ??= close()),
  };
}
