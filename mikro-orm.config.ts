import { createLog } from '#runtime/observe/log.ts';
import { runningUrl } from '#runtime/database/embedded/running-url.ts';
import { openDatabase } from '#runtime/database/open-database.ts';
import { ormConfig } from '#runtime/database/orm.ts';
import { entities } from '#actors/store/entities.ts';
import { migrations } from '#actors/store/migrations.ts';

/**
 * For the MikroORM command line (`npx mikro-orm migration:pending`): the database of `DATABASE_URL`, or else the embedded one
 * in `./data`: of the grid that runs there, or started for as long as the command takes.
 */
const log = createLog('mikro-orm', 'warn');

async function databaseUrl(): Promise<string> {
  const given = process.env['DATABASE_URL'];
  const running = given ?? (await runningUrl('data'));
  if (running !== null) return running;
  const database = await openDatabase({ dataFolder: 'data', log });
  database.unref();
  return database.url;
}

const config = ormConfig({ url: await databaseUrl(), entities, migrations, log });

// The command line asks for a default export. `migration:create` writes where the list of migrations looks.
export default { ...config, migrations: { ...config.migrations, path: 'actors/store/migrations' } };
