import type { Command } from 'commander';

import type { TenantSummary } from '#actors/contract/tenant-policy.ts';
import { sayJson, sayTable } from '#bin/client/print.ts';
import { GridError } from '#runtime/errors.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, parseWhole, type GridOptions } from './settings.ts';

type Policy = GridOptions & { readonly weight?: string; readonly maxRunning?: string; readonly maxGpus?: string };

function sayTenants(list: readonly TenantSummary[]): void {
  sayTable(
    ['TENANT', 'WEIGHT', 'MAX RUNNING', 'MAX GPUS'],
    list.map((t) => [t.name, t.weight, t.maxRunning ?? 'none', t.maxGpus ?? 'none']),
  );
}

export function tenantCommands(program: Command): void {
  const tenants = program.command('tenants').description('what each tenant may have of the grid');
  withGrid(tenants.command('list', { isDefault: true }).description('weights and quotas of all tenants')).action(
    async (options: GridOptions) => {
      const list = (await clientOf(options).get('/api/tenants')) as TenantSummary[];
      if (options.json) sayJson(list);
      else sayTenants(list);
    },
  );
  withGrid(tenants.command('set').argument('<name>').description('change what a tenant may have; what is not named stays'))
    .option('--weight <n>', 'its part of a full grid beside the others')
    .option('--max-running <n>', 'attempts at once, or none')
    .option('--max-gpus <n>', 'GPUs at once, or none')
    .action(async (name: string, options: Policy) => {
      const tenant = (await clientOf(options).put(`/api/tenants/${encodeURIComponent(name)}`, {
        weight: options.weight === undefined ? undefined : parseWeight(options.weight),
        maxRunning: limitOf(options.maxRunning, '--max-running', 1_000_000),
        maxGpus: limitOf(options.maxGpus, '--max-gpus', 100_000),
      })) as TenantSummary;
      if (options.json) sayJson(tenant);
      else sayTenants([tenant]);
    });
}

function limitOf(text: string | undefined, option: string, most: number): number | null | undefined {
  if (text === undefined) return undefined;
  return text === 'none' ? null : parseWhole(text, option, 0, most);
}

function parseWeight(text: string): number {
  const weight = Number(text);
  if (text.trim() !== '' && weight >= 0.001 && weight <= 1_000) return weight;
  throw new GridError('BAD_REQUEST', `--weight: ${JSON.stringify(text)} is no weight`, {
    path: '--weight',
    fix: 'give a number from 0.001 to 1000',
  });
}
