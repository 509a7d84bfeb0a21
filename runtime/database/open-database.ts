import type { Host } from '#runtime/kernel/host.ts';
import { realHost } from '#runtime/host.ts';
import { type ConnectionWatch, watchConnection } from './connection-watch.ts';
import type { DatabaseLog } from './database-log.ts';
import { startEmbedded } from './embedded/embedded-server.ts';
import { connectGiven } from './given-database.ts';

/** A PostgreSQL that answers. */
export interface Database {
  /** Its address, password included: for `openOrm`, never for a log. It stays the same when the server is restarted. */
  readonly url: string;
  readonly kind: 'embedded' | 'given';
  /** The server cannot be reached any more; work in flight fails (see `withDatabaseRetry`). Answers an undo. */
  onLost(callback: () => void): () => void;
  /** It answers again, at the same address and with the same data. Answers an undo. */
  onBack(callback: () => void): () => void;
  /** Lets the process end although the database is open; the embedded server ends with it. */
  unref(): void;
  /** Stops an embedded server (other connections are cut), and leaves a given one alone. Safe to call twice. */
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** The embedded server keeps its data in `pg18/` below it. Made when missing. */
  readonly dataFolder: string;
  /** A server to use instead of the embedded one: `DATABASE_URL`. */
  readonly url?: string | undefined;
  readonly log: DatabaseLog;
  readonly host?: Host;
}

/**
 * Opens the grid's database: the one that `url` names, or a PostgreSQL 18 of our own below `dataFolder`.
 *
 * The embedded server is started, watched, restarted on the same port when it dies, and stopped by `close`. On Linux it
 * dies with the thread that called this, so call it from the main thread.
 * @throws GridError BAD_CONFIGURATION for a malformed url; DATABASE when the server cannot be started or reached, is too
 *   old, or the data folder is in use by another process
 */
export async function openDatabase({ dataFolder, url, log, host = realHost() }: DatabaseOptions): Promise<Database> {
  if (url !== undefined) {
    const connect = () => connectGiven(url);
    const watch = watchConnection({ host, first: await connect(), connect });
    return opened({ url, kind: 'given', watch, log, unref: () => watch.unref(), stop: async () => undefined });
  }
  const server = await startEmbedded({ dataFolder, log, host });
  try {
    const connect = () => server.connect();
    const watch = watchConnection({ host, first: await connect(), connect });
    const unref = (): void => {
      watch.unref();
      server.unref();
    };
    return opened({ url: server.url, kind: 'embedded', watch, log, unref, stop: () => server.stop() });
  } catch (error) {
    await server.stop();
    throw error;
  }
}

interface Parts {
  readonly url: string;
  readonly kind: Database['kind'];
  readonly watch: ConnectionWatch;
  readonly log: DatabaseLog;
  readonly unref: () => void;
  readonly stop: () => Promise<void>;
}

function opened({ url, kind, watch, log, unref, stop }: Parts): Database {
  watch.onLost(() => log.warn({ kind }, 'The database is lost; waiting for it to come back.'));
  watch.onBack(() => log.info({ kind }, 'The database is back.'));
  let closed: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await watch.close();
    await stop();
  };
  return {
    url,
    kind,
    onLost: (callback) => watch.onLost(callback),
    onBack: (callback) => watch.onBack(callback),
    unref,
    close: () => (closed ??= close()),
  };
}
