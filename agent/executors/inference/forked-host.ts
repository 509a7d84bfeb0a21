import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import type { EngineEvents, EngineProcess } from './engine-process.ts';
import { FromHost } from './host-protocol.ts';

const PROGRAM = fileURLToPath(new URL('./inference-host.main.ts', import.meta.url));

function readLines(stream: Readable | null, onLine: (line: string) => void): void {
  if (stream === null) return;
  createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
    if (line.trim() !== '') onLine(line.slice(0, 2000));
  });
}

/** Starts an inference host with exactly this environment and none of this process's Node flags. */
export function forkHost(environment: Readonly<Record<string, string>>, events: EngineEvents): EngineProcess {
  // Node 24 runs TypeScript as it is. The parent's own flags may belong to a debugger or a test runner.
  const child: ChildProcess = fork(PROGRAM, [], {
    env: { ...environment },
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let lastLine = '';
  let over = false;

  const onLine = (line: string): void => {
    lastLine = line;
    events.onLine(line);
  };
  readLines(child.stdout, onLine);
  readLines(child.stderr, onLine);

  const exit = (how: string): void => {
    if (over) return;
    over = true;
    events.onExit(lastLine === '' ? how : `${how}; it last wrote: ${lastLine.slice(0, 500)}`);
  };
  child.on('exit', (code, signal) =>
    exit(signal === null ? `the inference host ended with code ${code}` : `the inference host ended by ${signal}`),
  );
  // Only a process that could not be started has no exit; other errors concern a channel whose end the exit reports.
  child.on('error', (error) => {
    if (child.pid === undefined) exit(`the inference host could not be started: ${error.message}`);
  });
  child.on('message', (raw) => {
    if (over) return;
    const message = FromHost.safeParse(raw);
    if (message.success) events.onMessage(message.data);
    else events.onNonsense(`the inference host sent a message that does not exist: ${message.error.issues[0]?.message ?? 'unknown'}`);
  });

  return {
    pid: child.pid,
    send(message) {
      if (!over && child.connected) child.send(message, () => {});
    },
    kill() {
      child.kill('SIGKILL');
    },
  };
}
