import { Redis } from 'ioredis';

import { GridError } from '#runtime/errors.ts';

import { checkRedisUrl, redisServerName } from './redis-url.ts';

/** A command or a connection that takes longer than this counts as lost: a Redis that is well answers in a millisecond. */
const ANSWER_MS = 2_000;
const RECONNECT_MS = { min: 50, max: 500 };

/**
 * Connects to the Redis of REDIS_URL. Afterwards the client finds its way back by itself, for as long as it takes; while it is
 * away commands fail at once instead of waiting in memory.
 * @throws GridError BAD_CONFIGURATION for an address that is none; UNREACHABLE when nothing answers there, or it does not let
 *   us in. Neither the message nor its cause holds the password.
 */
export async function connectRedis(text: string): Promise<Redis> {
  const url = checkRedisUrl(text);
  let lastError: unknown;
  let given = false;
  const client = new Redis(text, {
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: ANSWER_MS,
    commandTimeout: ANSWER_MS,
    socketTimeout: ANSWER_MS,
    retryStrategy: (times) => (given ? Math.min(RECONNECT_MS.max, RECONNECT_MS.min * times) : null),
  });
  // Without a listener every lost connection would be printed. Presence hears of it by 'close'.
  client.on('error', (error) => {
    lastError = error;
  });
  try {
    await client.connect();
    // Proves that it lets us in: a server that wants a password takes the connection all the same.
    await client.ping();
    // A refused SELECT is told as an event only, and what follows would go to another database.
    if (lastError !== undefined) throw lastError;
    given = true;
    return client;
  } catch (error) {
    client.disconnect();
    throw unreachable(redisServerName(url), [error, lastError]);
  }
}

const FIXES: readonly (readonly [RegExp, string])[] = [
  [/WRONGPASS|invalid password/, 'The user or the password is wrong: correct it.'],
  [/NOAUTH/, 'The server wants a password: add it, as in redis://:password@host:6379.'],
  [/ECONNREFUSED/, 'Nothing listens there: start the server, or correct host and port.'],
  [/ENOTFOUND|EAI_AGAIN/, 'The host name is not known: correct it.'],
  [/DB index is out of range/, 'The server has no database of this number: correct it.'],
];

/** The driver's errors carry the command they belong to, and AUTH carries the password: only their texts get out. */
function unreachable(server: string, errors: readonly unknown[]): GridError {
  const texts = errors.filter((error) => error instanceof Error).map(({ message }) => message);
  const known = FIXES.flatMap(([pattern, fix]) => texts.filter((text) => pattern.test(text)).map((text) => ({ text, fix })))[0];
  const why = known?.text ?? texts[0] ?? 'it does not answer';
  return new GridError('UNREACHABLE', `No connection to Redis at ${server}: ${why}.`, {
    path: 'REDIS_URL',
    fix: `${known?.fix ?? 'Check that the server runs and can be reached from here.'} This concerns REDIS_URL.`,
  });
}
