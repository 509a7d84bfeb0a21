import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';

import { startCoordinator, type Coordinator } from '#actors/coordinator.ts';
import { checkGridUrl } from '#bin/client/grid-client.ts';
import { EXIT, say, sayJson } from '#bin/client/print.ts';
import { GridError } from '#runtime/errors.ts';
import { s3SettingsOf } from '#runtime/objects/s3-settings.ts';
import { createLog } from '#runtime/observe/log.ts';

import { ensureUiBuilt } from '../../scripts/build-ui.ts';
import { startLocalAgent } from './local-agent.ts';
import { parseLevel, parseWhole, ROOT, version } from './settings.ts';
import { untilStopped } from './until-stopped.ts';
import type { UpOptions } from './up-command.ts';

/** Runs a coordinator until it is told to stop. */
export async function runUp(options: UpOptions): Promise<void> {
  const log = createLog('coordinator', parseLevel(options.log));
  const dataFolder = path.resolve(options.data);
  const s3 = s3SettingsOf(process.env);
  const port = parseWhole(options.port, '--port', 0, 65_535);
  const stopping = untilStopped();
  const made = await mkdir(dataFolder, { recursive: true, mode: 0o700 });
  const uiFolder = path.join(ROOT, 'ui', 'dist');
  if (options.ui) await ensureUiBuilt((line) => void process.stderr.write(`${line}\n`));

  const coordinator = await startCoordinator({
    dataFolder,
    databaseUrl: process.env['DATABASE_URL'],
    redisUrl: process.env['REDIS_URL'],
    modelHubUrl: process.env['HF_ENDPOINT'],
    auditShare: auditShareOf(process.env['CORPGRID_AUDIT_SHARE']),
    s3,
    advertise: options.advertise === undefined ? undefined : checkGridUrl(options.advertise),
    listen: options.listen,
    port,
    uiFolder: options.ui ? uiFolder : path.join(dataFolder, 'no-ui'),
    version: version(),
    log,
    onFailed: stopping.fail,
  }).catch(async (error: unknown) => {
    // A start that came to nothing leaves nothing behind; what was there before it stays as it was.
    if (made !== undefined) await rm(dataFolder, { recursive: true, force: true });
    throw error;
  });
  const url = `http://${options.listen === '0.0.0.0' ? '127.0.0.1' : options.listen}:${coordinator.port}`;
  if (options.json === true) {
    const { firstKey, gridKey, database } = coordinator;
    sayJson({ url, adminKey: firstKey, gridKey, data: dataFolder, database });
  } else {
    announce(coordinator, url, dataFolder);
  }
  const agent = options.withAgent === true ? startLocalAgent({ coordinator, url, dataFolder, level: options.log }) : null;

  const signal = await stopping.stopped;
  const failed = signal === 'failed';
  process.stderr.write(failed ? 'the coordinator failed more often than it may restart its parts; stopping ...\n' : 'stopping ...\n');
  await agent?.stop();
  await coordinator.stop();
  if (failed) throw new GridError('INTERNAL', 'the coordinator gave up', { fix: 'its log names what failed; start it again' });
  process.exitCode = signal === 'SIGINT' ? EXIT.interrupted : EXIT.done;
}

/** @throws GridError BAD_CONFIGURATION */
function auditShareOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const share = Number(text);
  if (share >= 0 && share <= 1) return share;
  throw new GridError('BAD_CONFIGURATION', `${text} is no share of answers`, {
    path: 'CORPGRID_AUDIT_SHARE',
    fix: 'give a number from 0 to 1',
  });
}

function announce({ firstKey, database, gridKey }: Coordinator, url: string, dataFolder: string): void {
  say(`CorpGrid runs at ${url}`);
  if (firstKey !== null) {
    say(`  admin key (shown this once): ${firstKey}`);
    say(`  sign in:                     ${url}/#key=${firstKey}`);
  }
  say(`  join a machine:              corpgrid tokens create, then there: npm run corpgrid -- agent --url ${url} --token TOKEN`);
  say(
    `  data:                        ${dataFolder} (${database === 'embedded' ? 'embedded PostgreSQL 18' : 'database from DATABASE_URL'})`,
  );
  say(`  grid key:                    ${gridKey}`);
  say('Ctrl-C stops it.');
}
