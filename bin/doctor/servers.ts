import { existsSync } from 'node:fs';

import { connectGiven } from '#runtime/database/given-database.ts';
import { findBinaries } from '#runtime/database/embedded/binaries.ts';
import { clusterFolder, MAJOR } from '#runtime/database/embedded/cluster-folder.ts';
import { chooseRunAs } from '#runtime/database/embedded/run-as.ts';
import { runningUrl } from '#runtime/database/embedded/running-url.ts';
import type { SqlClient } from '#runtime/database/sql-client.ts';
import { realHost } from '#runtime/host.ts';
import { openS3Objects } from '#runtime/objects/s3-objects.ts';
import { s3SettingsOf } from '#runtime/objects/s3-settings.ts';
import { connectRedis } from '#runtime/presence/redis-connection.ts';
import { checkRedisUrl, redisServerName } from '#runtime/presence/redis-url.ts';

import { ok, warn, type Verdict } from './finding.ts';
import { judgeSkew } from './judgements.ts';

/** Looks at what a coordinator works with, as a start would: the same connections, and the same refusals with their fixes. */

type Environment = Readonly<Record<string, string | undefined>>;

/** Null when there is none to ask: the embedded server does not run. */
async function connect(environment: Environment, dataFolder: string): Promise<SqlClient | null> {
  const url = environment['DATABASE_URL'] ?? (await runningUrl(dataFolder));
  return url === null ? null : connectGiven(url);
}

export async function lookAtDatabase(environment: Environment, dataFolder: string): Promise<Verdict> {
  if (environment['DATABASE_URL'] === undefined) {
    await findBinaries();
    await chooseRunAs();
  }
  const client = await connect(environment, dataFolder);
  if (client === null) {
    const there = existsSync(clusterFolder(dataFolder).data);
    return ok(`the PostgreSQL ${MAJOR} that comes with CorpGrid; ${there ? 'it does not run now' : 'made at the first start'}`);
  }
  try {
    const [found] = await client.query<{ version: string }>("select current_setting('server_version') as version");
    const [fsync] = await client.query<{ fsync: string }>("select current_setting('fsync') as fsync");
    const detail = `PostgreSQL ${found?.version ?? 'of an unknown version'} answers`;
    if (fsync?.fsync === 'on') return ok(detail);
    return warn(`${detail}, and fsync is off: a power cut may lose everything`, 'set fsync = on in postgresql.conf');
  } finally {
    await client.close();
  }
}

export async function lookAtDatabaseClock(environment: Environment, dataFolder: string): Promise<Verdict> {
  const client = await connect(environment, dataFolder);
  if (client === null) return ok('the database does not run; it will go by the clock of this machine');
  try {
    const before = Date.now();
    const [row] = await client.query<{ ms: string }>('select (extract(epoch from clock_timestamp()) * 1000)::bigint::text as ms');
    const after = Date.now();
    return judgeSkew('the database', Number(row?.ms) - (before + after) / 2, (after - before) / 2);
  } finally {
    await client.close();
  }
}

export async function lookAtRedis(environment: Environment): Promise<Verdict> {
  const url = environment['REDIS_URL'];
  if (url === undefined) return ok('none: presence stays in the coordinator, of which there can be one only');
  const client = await connectRedis(url);
  client.disconnect();
  return ok(`${redisServerName(checkRedisUrl(url))} answers`);
}

export async function lookAtObjects(environment: Environment, dataFolder: string): Promise<Verdict> {
  const settings = s3SettingsOf(environment);
  if (settings === null) return ok(`files below ${dataFolder}`);
  const objects = await openS3Objects({ settings, clock: realHost().clock });
  objects.close();
  return ok(`bucket ${settings.bucket} at ${settings.endpoint} answers`);
}

/** The grid that commands and agents of this machine talk to. */
export async function lookAtGrid(url: string): Promise<readonly [grid: Verdict, clock: Verdict]> {
  const before = Date.now();
  let answer: Response;
  try {
    answer = await fetch(new URL('/healthz', url), { signal: AbortSignal.timeout(5_000) });
    await answer.body?.cancel();
  } catch {
    const none = warn(`nothing answers at ${url}`, 'start it with `npm start`, or say where it is with --url or CORPGRID_URL');
    return [none, ok('there is no grid to compare with')];
  }
  const after = Date.now();
  const date = Date.parse(answer.headers.get('date') ?? '');
  // The header has whole seconds, cut off.
  const clock = Number.isNaN(date)
    ? ok('the grid does not say what time it has')
    : judgeSkew('the grid', date + 500 - (before + after) / 2, 500 + (after - before) / 2);
  return [answer.ok ? ok(`${url} answers`) : warn(`${url} answers with ${answer.status}`, 'is it a grid? check --url'), clock];
}
