import type { Command } from 'commander';

import type { HistoryEntry } from '#actors/contract/live.ts';
import { say, sayJson } from '#bin/client/print.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, parseWhole, type GridOptions } from './settings.ts';

const MOST = 10_000;

interface LogsOptions extends GridOptions {
  readonly shard?: string;
  readonly limit: string;
  readonly trouble?: boolean;
}

export function logsCommand(program: Command): void {
  withGrid(program.command('logs').argument('<id>', 'a job').description('what happened to the shards of a job, oldest first'))
    .option('--shard <n>', 'of this shard only')
    .option('--limit <n>', 'the newest so many', '100')
    .option('--trouble', 'only what went wrong, with the reasons')
    .action(async (id: string, options: LogsOptions) => {
      const query = new URLSearchParams({ limit: String(parseWhole(options.limit, '--limit', 1, MOST)) });
      if (options.shard !== undefined) query.set('shard', String(parseWhole(options.shard, '--shard', 0, 1_000_000)));
      if (options.trouble === true) query.set('trouble', 'true');
      const entries = (await clientOf(options).get(`/api/jobs/${encodeURIComponent(id)}/log?${query.toString()}`)) as HistoryEntry[];
      if (options.json) return sayJson(entries);
      if (entries.length === 0) say(options.trouble === true ? 'nothing went wrong so far' : 'nothing happened so far');
      for (const entry of entries.toReversed()) say(lineOf(entry));
    });
}

function lineOf({ at, shard, deviceName, event, reason }: HistoryEntry): string {
  const line = `${new Date(at).toISOString()}  shard ${shard}  ${deviceName}  ${event}`;
  return reason === null ? line : `${line}: ${reason}`;
}
