import { GridError } from '#runtime/errors.ts';

/**
 * Checks the form of a `REDIS_URL` before anything connects: `redis://` or `rediss://` (TLS), a host, and at most the number of a
 * database as its path.
 * @throws GridError BAD_CONFIGURATION, with path `REDIS_URL`. The message never holds the password.
 */
export function checkRedisUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw wrong('is not an address');
  }
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') {
    throw wrong(`starts with "${url.protocol}//", but only redis:// and rediss:// are understood`);
  }
  if (url.hostname === '') throw wrong('names no host');
  if (!/^\/?\d{0,4}$/.test(url.pathname)) throw wrong('has a path that is not the number of a database');
  return url;
}

/** `host:port/database` of a checked address: enough to know which server is meant, and nothing secret. */
export function redisServerName(url: URL): string {
  return `${url.hostname}:${url.port === '' ? '6379' : url.port}/${url.pathname.replace(/^\//, '') || '0'}`;
}

function wrong(what: string): GridError {
  return new GridError('BAD_CONFIGURATION', `REDIS_URL ${what}.`, {
    path: 'REDIS_URL',
    fix: 'Set REDIS_URL to something like redis://user:password@host:6379/0, or leave it out when there is one coordinator only.',
  });
}
