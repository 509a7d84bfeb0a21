import { GridError } from '#runtime/errors.ts';
import { checkDatabaseUrl, redactPasswords, serverName } from './database-url.ts';
import { connectSql, type SqlClient } from './sql-client.ts';

const OLDEST = 150_000;
const CONNECT_MS = 10_000;

/**
 * Connects to a server that somebody else runs, and proves that it is new enough.
 * @throws GridError BAD_CONFIGURATION for an address that is none; DATABASE when the server cannot be reached, refuses
 *   the user or the database, or is older than PostgreSQL 15. No message holds the password.
 */
export async function connectGiven(text: string): Promise<SqlClient> {
  const url = checkDatabaseUrl(text);
  let client: SqlClient;
  try {
    client = await connectSql(text, CONNECT_MS);
  } catch (error) {
    throw unreachable(serverName(url), error);
  }
  try {
    await refuseOld(client, serverName(url));
    return client;
  } catch (error) {
    await client.close();
    throw error;
  }
}

/** @throws GridError DATABASE when the server is older than PostgreSQL 15 */
export async function refuseOld(client: Pick<SqlClient, 'query'>, server: string): Promise<void> {
  const rows = await client.query<{ number: string; version: string }>(
    "select current_setting('server_version_num') as number, current_setting('server_version') as version",
  );
  const found = rows[0];
  if (found !== undefined && Number(found.number) >= OLDEST) return;
  throw new GridError(
    'DATABASE',
    `The server at ${server} is PostgreSQL ${found?.version ?? 'of an unknown version'}; CorpGrid needs 15 or newer.`,
    {
      path: 'DATABASE_URL',
      fix: 'Upgrade that server, name another one, or leave DATABASE_URL out to use the PostgreSQL that comes with CorpGrid.',
    },
  );
}

const FIXES: Record<string, string> = {
  ECONNREFUSED: 'Nothing listens there: start the server, or correct host and port.',
  ENOTFOUND: 'The host name is not known: correct it.',
  '28P01': 'The password is wrong: correct it.',
  '28000': 'The server does not let this user in from here: check the user and pg_hba.conf.',
  '3D000': 'There is no such database on that server: create it, or correct its name.',
};

function unreachable(server: string, cause: unknown): GridError {
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  const why = cause instanceof Error && cause.message !== '' ? redactPasswords(cause.message) : code;
  return new GridError('DATABASE', `No connection to PostgreSQL at ${server}: ${why}.`, {
    path: 'DATABASE_URL',
    fix: `${FIXES[code] ?? 'Check that the server runs and can be reached from here.'} This concerns DATABASE_URL.`,
  });
}
