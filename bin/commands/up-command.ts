import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { Command } from 'commander';

import { startCoordinator, type Coordinator } from '#actors/coordinator.ts';
import { EXIT, say } from '#bin/client/print.ts';
import { createLog } from '#runtime/observe/log.ts';

import { ensureUiBuilt } from '../../scripts/build-ui.ts';
import { startLocalAgent } from './local-agent.ts';
import { DEFAULT_PORT, parseLevel, parseWhole, ROOT, version } from './settings.ts';
import { untilStopped } from './until-stopped.ts';

interface Options {
  readonly data: string;
  readonly listen: string;
  readonly port: string;
  readonly withAgent?: boolean;
  readonly ui: boolean;
  readonly log: string;
}

export function upCommand(program: Command): void {
  program
    .command('up')
    .description('run a coordinator: API, web UI, the agents’ and the OpenAI door')
    .option('--data DIR', 'where database, objects and keys are kept', './data')
    .option('--listen HOST', 'address to listen on; 0.0.0.0 lets other machines in', '127.0.0.1')
    .option('--port N', 'port to listen on; 0 takes a free one', String(DEFAULT_PORT))
    .option('--with-agent', 'also lend this machine: starts one agent as a process of its own')
    .option('--no-ui', 'do not build and serve the web UI')
    .option('--log LEVEL', 'debug, info, warn, error or silent', 'warn')
    .action(run);
}

async function run(options: Options): Promise<void> {
  const log = createLog('coordinator', parseLevel(options.log));
  const dataFolder = path.resolve(options.data);
  const port = parseWhole(options.port, '--port', 0, 65_535);
  const stopping = untilStopped();
  await mkdir(dataFolder, { recursive: true, mode: 0o700 });
  const uiFolder = path.join(ROOT, 'ui', 'dist');
  if (options.ui) await ensureUiBuilt((line) => void process.stderr.write(`${line}\n`));

  const coordinator = await startCoordinator({
    dataFolder,
    databaseUrl: process.env['DATABASE_URL'],
    listen: options.listen,
    port,
    uiFolder: options.ui ? uiFolder : path.join(dataFolder, 'no-ui'),
    version: version(),
    log,
  });
  const url = `http://${options.listen === '0.0.0.0' ? '127.0.0.1' : options.listen}:${coordinator.port}`;
  announce(coordinator, url, dataFolder);
  const agent = options.withAgent === true ? startLocalAgent({ coordinator, url, dataFolder, level: options.log }) : null;

  const signal = await stopping.stopped;
  say('stopping ...');
  await agent?.stop();
  await coordinator.stop();
  process.exitCode = signal === 'SIGINT' ? EXIT.interrupted : EXIT.done;
}

function announce({ firstKey, database, gridKey }: Coordinator, url: string, dataFolder: string): void {
  say(`CorpGrid runs at ${url}`);
  if (firstKey !== null) {
    say(`  admin key (shown this once): ${firstKey}`);
    say(`  sign in:                     ${url}/#key=${firstKey}`);
  }
  say(`  join a machine:              corpgrid tokens create, then there: npm run corpgrid -- agent --url ${url} --token TOKEN`);
  say(`  data:                        ${dataFolder} (${database === 'embedded' ? 'embedded PostgreSQL 18' : 'database from DATABASE_URL'})`);
  say(`  grid key:                    ${gridKey}`);
  say('Ctrl-C stops it.');
}
