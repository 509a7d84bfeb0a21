import type { Command } from 'commander';

import { say, sayJson, sayTable } from '#bin/client/print.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, parseWhole, type GridOptions } from './settings.ts';

interface Key {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  readonly role: string;
  readonly key?: string;
  readonly revokedAt: number | null;
}

export function adminCommands(program: Command): void {
  const keys = program.command('keys').description('API keys of people and programs');
  withGrid(keys.command('create').description('make a key; it is shown once'))
    .requiredOption('--name <name>', 'whose it is')
    .option('--tenant <name>', 'which tenant it belongs to', 'default')
    .option('--role <role>', 'admin or submitter', 'submitter')
    .action(async (options: GridOptions & { name: string; tenant: string; role: string }) => {
      const { name, tenant, role } = options;
      const made = (await clientOf(options).post('/api/keys', { name, tenant, role })) as Key;
      if (options.json) return sayJson(made);
      say(made.key ?? '');
    });
  withGrid(keys.command('list').description('all keys, without their secrets')).action(async (options: GridOptions) => {
    const list = (await clientOf(options).get('/api/keys')) as Key[];
    if (options.json) return sayJson(list);
    sayTable(
      ['ID', 'NAME', 'TENANT', 'ROLE', 'STATE'],
      list.map((k) => [k.id, k.name, k.tenant, k.role, k.revokedAt === null ? 'valid' : 'revoked']),
    );
  });
  withGrid(keys.command('revoke').argument('<id>').description('make a key worthless')).action(async (id: string, options: GridOptions) => {
    const answer = await clientOf(options).post(`/api/keys/${encodeURIComponent(id)}/revoke`, {});
    if (options.json) sayJson(answer);
    else say(`revoked ${id}`);
  });

  const tokens = program.command('tokens').description('enrolment tokens for machines');
  withGrid(tokens.command('create').description('make a token with which machines join; it is shown once'))
    .option('--name <name>', 'what it is for', 'a machine')
    .option('--uses <n>', 'how many machines may join with it', '1')
    .option('--hours <n>', 'how long it is good', '24')
    .option('--owner <name>', 'whose machines they are: results of one owner never confirm each other')
    .option('--trusted', 'their results are taken as true, and those of others are checked against them')
    .action(async (options: GridOptions & { name: string; uses: string; hours: string; owner?: string; trusted?: true }) => {
      const body = {
        name: options.name,
        uses: parseWhole(options.uses, '--uses', 1, 10_000),
        ttlSeconds: parseWhole(options.hours, '--hours', 1, 720) * 3_600,
        owner: options.owner,
        trusted: options.trusted === true,
      };
      const client = clientOf(options);
      const made = (await client.post('/api/tokens', body)) as { token: string; gridKey: string };
      if (options.json) return sayJson(made);
      say(made.token);
      say(`on the machine: npm run corpgrid -- agent --url ${client.url} --token ${made.token}`);
    });
}
