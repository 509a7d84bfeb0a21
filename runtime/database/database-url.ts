import { GridError } from '#runtime/errors.ts';

const EXAMPLE = 'postgres://user:password@host:5432/corpgrid';
const FIX = `Set DATABASE_URL to something like ${EXAMPLE}, or leave it out to use the PostgreSQL that comes with CorpGrid.`;

/**
 * Checks the form of a `DATABASE_URL` before anything connects.
 *
 * Accepted: `postgres://` or `postgresql://`, with a host (or `?host=/socket/folder`) and the name of a database; further
 * settings such as `?sslmode=require` are passed on to the driver.
 * @throws GridError BAD_CONFIGURATION, with path `DATABASE_URL`. The message never holds the password.
 */
export function checkDatabaseUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong('is not an address');
  }
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') {
    throw wrong(`starts with "${url.protocol}//", but only postgres:// and postgresql:// are understood`);
  }
  if (url.hostname === '' && !url.searchParams.has('host')) throw wrong('names no host');
  if (databaseName(url) === '') throw wrong('names no database after the host');
  return url;
}

/** The database that the address names, or the empty text. */
export function databaseName(url: URL): string {
  return decode(url.pathname.replace(/^\//, ''));
}

/** `host:port/database` of a checked address: enough to know which server is meant, and nothing secret. */
export function serverName(url: URL): string {
  const host = url.hostname === '' ? (url.searchParams.get('host') ?? '') : url.hostname;
  return `${host}:${url.port === '' ? '5432' : url.port}/${databaseName(url)}`;
}

/** Blanks out the passwords of all addresses in a text, so that a driver's message can be logged. */
export function redactPasswords(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/]*@/gi, '$1:***@').replace(/([?&\s](?:ssl)?password=)[^&\s]*/gi, '$1***');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong('has a "%" that is not followed by two hexadecimal digits; write a plain "%" as %25');
  }
}

function wrong(what: string): GridError {
  return new GridError('BAD_CONFIGURATION', `DATABASE_URL ${what}.`, { path: 'DATABASE_URL', fix: FIX });
}
