import type { Command } from 'commander';

import type { DeviceSummary } from '#actors/contract/live.ts';
import { say, sayJson, sayTable } from '#bin/client/print.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, type GridOptions } from './settings.ts';

const GIB = 1024 ** 3;

function gib(bytes: number | null): string | null {
  return bytes === null ? null : `${(bytes / GIB).toFixed(1)} GiB`;
}

function sayDevices(devices: readonly DeviceSummary[]): void {
  sayTable(
    ['ID', 'NAME', 'STATE', 'OS', 'CORES', 'MEMORY', 'RUNNING', 'SLOTS', 'KEY'],
    devices.map((d) => [
      d.id,
      d.name,
      d.state,
      d.os === null ? null : `${d.os}-${d.arch}`,
      d.cores,
      gib(d.memoryBytes),
      d.running,
      d.slots,
      d.fingerprint,
    ]),
  );
}

export function deviceCommands(program: Command): void {
  withGrid(program.command('devices').argument('[id]', 'one device').description('list devices, or show one')).action(
    async (id: string | undefined, options: GridOptions) => {
      const client = clientOf(options);
      const devices = id === undefined ? await client.devices() : [await client.device(id)];
      if (options.json) return sayJson(id === undefined ? devices : devices[0]);
      if (devices.length === 0) return say('no devices yet; make a token with `corpgrid tokens create` and join a machine with it');
      sayDevices(devices);
    },
  );

  withGrid(program.command('cluster').description('what the grid has, in sum')).action(async (options: GridOptions) => {
    const cluster = (await clientOf(options).get('/api/cluster')) as Record<string, number>;
    if (options.json) return sayJson(cluster);
    sayTable(
      ['DEVICES', 'PRESENT', 'CORES', 'SLOTS', 'RUNNING', 'MEMORY'],
      [
        [
          cluster['devices'],
          cluster['present'],
          cluster['cores'],
          cluster['slots'],
          cluster['running'],
          gib(cluster['memoryBytes'] ?? null),
        ],
      ],
    );
  });

  const about = {
    drain: 'let a device finish what it has and give it nothing new',
    undrain: 'give a drained device work again',
    revoke: 'shut a device out: its key is worth nothing from now on',
  };
  for (const action of ['drain', 'undrain', 'revoke'] as const) {
    withGrid(program.command(action).argument('<id>').description(about[action])).action(async (id: string, options: GridOptions) => {
      const device = await clientOf(options).deviceAction(id, action);
      if (options.json) sayJson(device);
      else sayDevices([device]);
    });
  }
}
