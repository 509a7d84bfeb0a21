import { Command, CommanderError } from 'commander';

import { EXIT, exitCodeOf, printError } from './client/print.ts';
import { adminCommands } from './commands/admin-commands.ts';
import { objectCommands } from './commands/object-commands.ts';
import { logsCommand } from './commands/logs-command.ts';
import { doctorCommand } from './commands/doctor-command.ts';
import { tenantCommands } from './commands/tenant-commands.ts';
import { modelCommands } from './commands/model-commands.ts';
import { agentCommand } from './commands/agent-command.ts';
import { deviceCommands } from './commands/device-commands.ts';
import { jobCommands } from './commands/job-commands.ts';
import { version } from './commands/settings.ts';
import { upCommand } from './commands/up-command.ts';
import { actorsCommand } from './commands/actors-command.ts';
import { logCommand } from './commands/log-command.ts';
import { verifyCommand } from './commands/verify-command.ts';

/** The one command. Exit codes: 0 done, 1 the work failed, 2 wrong usage or bad input, 3 cannot reach the grid, 130 interrupted. */
async function main(): Promise<void> {
  const program = new Command('corpgrid')
    .description('one trusted cluster out of a company’s own machines')
    .version(version())
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride();
  upCommand(program);
  agentCommand(program);
  jobCommands(program);
  deviceCommands(program);
  adminCommands(program);
  tenantCommands(program);
  objectCommands(program);
  doctorCommand(program);
  logsCommand(program);
  modelCommands(program);
  verifyCommand(program);
  logCommand(program);
  actorsCommand(program);
  // Subcommands take over only the settings that exist when they are made.
  for (const command of program.commands) for (const inner of [command, ...command.commands]) inner.exitOverride();

  try {
    await program.parseAsync(process.argv);
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
      return;
    }
    printError(error);
    process.exitCode = exitCodeOf(error);
  }
}

await main();
