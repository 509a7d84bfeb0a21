import type { Command } from 'commander';

import { DEFAULT_PORT } from './settings.ts';

export interface DoctorOptions {
  readonly data: string;
  readonly state: string;
  readonly listen: string;
  readonly port: string;
  readonly url?: string;
  readonly json?: boolean;
}

export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('look whether everything that coordinator and agent need is there and in order; changes nothing')
    .option('--data <dir>', 'data folder of the coordinator', './data')
    .option('--state <dir>', 'state folder of the agent', './agent-state')
    .option('--listen <host>', 'address that the coordinator listens on', '127.0.0.1')
    .option('--port <n>', 'port that it listens on', String(DEFAULT_PORT))
    .option('--url <url>', 'address of the grid that this machine belongs to (or CORPGRID_URL)')
    .option('--json', 'print one JSON document')
    // Loaded only when it is wanted: other commands shall not wait for a database driver.
    .action(async (options: DoctorOptions) => (await import('./run-doctor.ts')).runDoctor(options));
}
