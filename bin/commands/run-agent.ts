import path from 'node:path';

import { startAgent } from '#agent/agent.ts';
import { checkGridUrl } from '#bin/client/grid-client.ts';
import { EXIT, say } from '#bin/client/print.ts';
import { GridError } from '#runtime/errors.ts';
import { createLog } from '#runtime/observe/log.ts';

import type { AgentOptions } from './agent-command.ts';
import { parseLevel, parseWhole, version } from './settings.ts';
import { untilStopped } from './until-stopped.ts';

function checkUpstream(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:') && url.search === '' && url.hash === '') return url.href;
  throw new GridError('BAD_URL', `${JSON.stringify(text)} is not the address of a server`, {
    path: '--upstream',
    fix: 'give it up to and with /v1, like http://127.0.0.1:11434/v1',
  });
}

/** Runs an agent until it is told to stop, or until the grid refuses it for good. */
export async function runAgent(options: AgentOptions): Promise<void> {
  const log = createLog('agent', parseLevel(options.log));
  const [url, ...more] = (options.url ?? process.env['CORPGRID_URL'] ?? '')
    .split(',')
    .flatMap((text) => (text.trim() === '' ? [] : [checkGridUrl(text.trim())]));
  let refused = false;
  const stopping = untilStopped();
  if (options.tied === true) process.stdin.resume().once('end', () => stopping.stop());
  const agent = await startAgent({
    stateFolder: path.resolve(options.state),
    url,
    more,
    token: options.token ?? process.env['CORPGRID_TOKEN'],
    name: options.name,
    slots: options.slots === undefined ? undefined : parseWhole(options.slots, '--slots', 0, 4096),
    models: options.models,
    llamaServer: options.llamaServer === undefined ? undefined : path.resolve(options.llamaServer),
    upstreams: options.upstream.map(checkUpstream),
    upstreamKey: process.env['CORPGRID_UPSTREAM_KEY'],
    modelsDiskBytes: parseWhole(options.modelsDisk, '--models-disk', 0, 1_048_576) * 1024 ** 3,
    contextSize: parseWhole(options.contextSize, '--context-size', 64, 1_048_576),
    sequences: parseWhole(options.sequences, '--sequences', 1, 64),
    systemRoot: process.env['CORPGRID_SYSTEM_ROOT'],
    version: version(),
    newKey: options.newKey === true,
    log,
    onRefused(reason) {
      process.stderr.write(
        `corpgrid: the grid refuses this machine: ${reason}\n  fix: enrol it anew with a fresh --state folder and a token\n`,
      );
      refused = true;
      stopping.stop();
    },
    onState: (connected) => log.info({ connected }, connected ? 'connected' : 'connection lost, trying again'),
  });
  say(`agent ${agent.name} (${agent.device}) runs; Ctrl-C stops it`);
  const signal = await stopping.stopped;
  await agent.stop();
  // An open standard input keeps a process alive, and whoever tied us to it waits for our end before it closes it.
  if (options.tied === true) process.stdin.destroy();
  process.exitCode = refused ? EXIT.failed : signal === 'SIGINT' ? EXIT.interrupted : EXIT.done;
}
