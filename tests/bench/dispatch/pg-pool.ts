import { MikroORM } from '@mikro-orm/postgresql';

/** The part of `pg` that the baselines use; MikroORM hands it out without its types. */
export interface PgClient {
  query(text: string, values?: readonly unknown[]): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }>;
  release(): void;
}

export interface PgPool {
  query: PgClient['query'];
  connect(): Promise<PgClient>;
  /** The pool itself, for libraries that bring their own statements. */
  readonly native: unknown;
  close(): Promise<void>;
}

/** Connections of the driver that the grid uses, without anything in between. */
export async function openPool(url: string, size: number): Promise<PgPool> {
  const orm = new MikroORM({
    dbName: new URL(url).pathname.slice(1),
    entities: [],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
    driverOptions: { connectionString: url, max: size },
    logger: () => undefined,
  });
  const native = (await orm.em.getConnection().getNativeClient()) as unknown as PgClient & { connect(): Promise<PgClient> };
  return {
    query: (text, values) => native.query(text, values),
    connect: () => native.connect(),
    native,
    close: () => orm.close(true),
  };
}
