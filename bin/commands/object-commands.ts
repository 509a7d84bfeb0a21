import type { Command } from 'commander';

import type { SweepReport } from '#actors/contract/sweep-report.ts';
import { say, sayJson } from '#bin/client/print.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, type GridOptions } from './settings.ts';

const MIB = 1024 ** 2;

export function objectCommands(program: Command): void {
  const objects = program.command('objects').description('the grid’s object store');
  withGrid(objects.command('sweep').description('delete now what nobody has wanted for two days; the grid does so four times a day'))
    .option('--dry-run', 'say what would be deleted, and delete nothing')
    .action(async (options: GridOptions & { dryRun?: true }) => {
      const report = (await clientOf(options).post('/api/objects/sweep', { dryRun: options.dryRun === true })) as SweepReport;
      if (options.json) sayJson(report);
      else saySwept(report);
    });
}

function saySwept({ dryRun, objects, bytes, checkpoints, uploads, adopted }: SweepReport): void {
  const would = dryRun ? 'would delete' : 'deleted';
  say(`${would} ${objects} objects (${(bytes / MIB).toFixed(1)} MiB) and ${checkpoints} checkpoints of jobs that are over`);
  if (!dryRun) say(`ended ${uploads} old uploads; took ${adopted} objects on record`);
}
