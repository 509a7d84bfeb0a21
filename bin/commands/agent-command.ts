import path from 'node:path';

import type { Command } from 'commander';

import { startAgent } from '#agent/agent.ts';
import { checkGridUrl } from '#bin/client/grid-client.ts';
import { EXIT, say } from '#bin/client/print.ts';
import { createLog } from '#runtime/observe/log.ts';

import { parseLevel, parseWhole, version } from './settings.ts';
import { untilStopped } from './until-stopped.ts';

interface Options {
  readonly url?: string;
  readonly token?: string;
  readonly name?: string;
  readonly state: string;
  readonly slots?: string;
  readonly models: string[];
  readonly contextSize: string;
  readonly sequences: string;
  readonly tied?: boolean;
  readonly log: string;
}

export function agentCommand(program: Command): void {
  program
    .command('agent')
    .description('lend this machine to a grid: runs until it is stopped')
    .option('--url URL', 'address of the grid (or CORPGRID_URL); remembered after the first start')
    .option('--token TOKEN', 'enrolment token (or CORPGRID_TOKEN); needed at the first start only')
    .option('--name NAME', 'how people see this machine (default: its host name)')
    .option('--state DIR', 'where key, votes and cache are kept', './agent-state')
    .option('--slots N', 'attempts at once; 0 serves models only (default: number of cores)')
    .option('--models PATH...', 'GGUF model files, or folders of them, to serve', [])
    .option('--context-size N', 'tokens of context per generation', '2048')
    .option('--sequences N', 'generations at once per model', '4')
    .option('--tied', 'stop when standard input closes, that is when the process that started this one is gone')
    .option('--log LEVEL', 'debug, info, warn, error or silent', 'info')
    .action(async (options: Options) => {
      const log = createLog('agent', parseLevel(options.log));
      const url = options.url ?? process.env['CORPGRID_URL'];
      let refused = false;
      const stopping = untilStopped();
      if (options.tied === true) process.stdin.resume().once('end', () => stopping.stop());
      const agent = await startAgent({
        stateFolder: path.resolve(options.state),
        url: url === undefined ? undefined : checkGridUrl(url),
        token: options.token ?? process.env['CORPGRID_TOKEN'],
        name: options.name,
        slots: options.slots === undefined ? undefined : parseWhole(options.slots, '--slots', 0, 4096),
        models: options.models,
        contextSize: parseWhole(options.contextSize, '--context-size', 64, 1_048_576),
        sequences: parseWhole(options.sequences, '--sequences', 1, 64),
        version: version(),
        log,
        onRefused(reason) {
          process.stderr.write(`corpgrid: the grid refuses this machine: ${reason}\n  fix: enrol it anew with a fresh --state folder and a token\n`);
          refused = true;
          stopping.stop();
        },
        onState: (connected) => log.info({ connected }, connected ? 'connected' : 'connection lost, trying again'),
      });
      say(`agent ${agent.name} (${agent.device}) runs; Ctrl-C stops it`);
      const signal = await stopping.stopped;
      await agent.stop();
      process.exitCode = refused ? EXIT.failed : signal === 'SIGINT' ? EXIT.interrupted : EXIT.done;
    });
}
