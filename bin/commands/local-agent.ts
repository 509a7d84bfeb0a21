import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Coordinator } from '#actors/coordinator.ts';

import { ROOT } from './settings.ts';

/** An agent that keeps dying is started again after this long, doubling up to the second figure. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export interface LocalAgentOptions {
  readonly coordinator: Coordinator;
  readonly url: string;
  readonly dataFolder: string;
  readonly level: string;
}

/**
 * This machine's own agent: a process of its own as everywhere, so that a job which kills it does not reach the
 * coordinator. Started again when it dies; ends when the coordinator's process does, however that ends.
 */
export function startLocalAgent(options: LocalAgentOptions): { stop(): Promise<void> } {
  const { coordinator, url, dataFolder, level } = options;
  const stopping = new AbortController();
  let child: ChildProcess | null = null;

  async function runOnce(): Promise<void> {
    const token = await coordinator.enrolmentToken('the local agent');
    const args = [
      path.join(ROOT, 'bin', 'corpgrid.ts'),
      'agent',
      '--tied',
      '--url',
      url,
      '--state',
      path.join(dataFolder, 'local-agent'),
      '--log',
      level,
    ];
    // The token goes by environment, not by argument: arguments can be read by everybody on the machine.
    const started = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'inherit'], env: { ...process.env, CORPGRID_TOKEN: token } });
    child = started;
    await new Promise<void>((resolve) => {
      started.once('exit', () => resolve());
      started.once('error', () => resolve());
    });
    child = null;
  }

  async function keepRunning(): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; !stopping.signal.aborted; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      await runOnce();
      if (stopping.signal.aborted) return;
      process.stderr.write(`the local agent ended; it is started again in ${pause} ms\n`);
      await sleep(pause, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }
  const running = keepRunning();

  return {
    async stop() {
      stopping.abort();
      child?.kill('SIGTERM');
      await running;
    },
  };
}
