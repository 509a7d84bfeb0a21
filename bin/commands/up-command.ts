import type { Command } from 'commander';

import { DEFAULT_PORT } from './settings.ts';

export interface UpOptions {
  readonly data: string;
  readonly listen: string;
  readonly port: string;
  readonly advertise?: string;
  readonly withAgent?: boolean;
  readonly ui: boolean;
  readonly json?: boolean;
  readonly log: string;
}

export function upCommand(program: Command): void {
  program
    .command('up')
    .description('run a coordinator: API, web UI, the agents’ and the OpenAI door')
    .option('--data <dir>', 'where database, objects and keys are kept', './data')
    .option('--listen <host>', 'address to listen on; 0.0.0.0 lets other machines in', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 takes a free one', String(DEFAULT_PORT))
    .option('--advertise <url>', 'where other coordinators of the same database reach this one (default: where it listens)')
    .option('--with-agent', 'also lend this machine: starts one agent as a process of its own')
    .option('--json', 'print address, keys and folder as one JSON document')
    .option('--no-ui', 'do not build and serve the web UI')
    .option('--log <level>', 'debug, info, warn, error or silent', 'warn')
    // Loaded only when it is wanted: other commands shall not wait for a database driver.
    .action(async (options: UpOptions) => (await import('./run-up.ts')).runUp(options));
}
