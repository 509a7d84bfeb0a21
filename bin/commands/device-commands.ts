import type { Command } from 'commander';

import type { DeviceSummary, DeviceTrust } from '#actors/contract/live.ts';
import { MAX_GRACE_SECONDS } from '#actors/contract/agent-link.ts';
import { GRACE_SECONDS } from '#actors/device/draining.ts';
import type { GridClient } from '#bin/client/grid-client.ts';
import { say, sayJson, sayTable } from '#bin/client/print.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, parseWhole, type GridOptions } from './settings.ts';

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
      d.drained === true ? 'drained' : d.state,
      d.os === null ? null : `${d.os}-${d.arch}`,
      d.cores,
      gib(d.memoryBytes),
      d.running,
      d.slots,
      d.fingerprint,
    ]),
  );
}

async function trustOf(client: GridClient, id: string): Promise<DeviceTrust> {
  return (await client.get(`/api/devices/${encodeURIComponent(id)}/trust`)) as DeviceTrust;
}

function sayTrust({ principal, trusted, apps }: DeviceTrust): void {
  say(`vouched for by ${principal}${trusted ? '; trusted: its results are taken as true' : ''}`);
  if (apps.length === 0) return;
  sayTable(
    ['APP', 'BELIEF', 'RESULTS', 'STRIKES', 'QUARANTINE'],
    apps.map((a) => [a.app, a.belief.toFixed(5), a.results, a.strikes, a.quarantine ?? 'no']),
  );
}

export function deviceCommands(program: Command): void {
  withGrid(program.command('devices').argument('[id]', 'one device').description('list devices, or show one')).action(
    async (id: string | undefined, options: GridOptions) => {
      const client = clientOf(options);
      if (id !== undefined) {
        const [device, trust] = [await client.device(id), await trustOf(client, id)];
        if (options.json) return sayJson({ ...device, trust });
        sayDevices([device]);
        return sayTrust(trust);
      }
      const devices = await client.devices();
      if (options.json) return sayJson(devices);
      if (devices.length === 0) return say('no devices yet; make a token with `corpgrid tokens create` and join a machine with it');
      sayDevices(devices);
    },
  );

  withGrid(program.command('cluster').description('what the grid has, in sum')).action(async (options: GridOptions) => {
    const cluster = await clientOf(options).cluster();
    if (options.json) return sayJson(cluster);
    const { devices, present, cores, coresClaimed, slots, running, memoryBytes, memoryClaimedBytes, gpus } = cluster;
    sayTable(
      ['DEVICES', 'PRESENT', 'CORES', 'CLAIMED', 'SLOTS', 'RUNNING', 'MEMORY', 'CLAIMED'],
      [[devices, present, cores, coresClaimed, slots, running, gib(memoryBytes), gib(memoryClaimedBytes)]],
    );
    if (gpus.length === 0) return;
    say('');
    sayTable(
      ['BACKEND', 'GPUS', 'FREE', 'VRAM', 'CLAIMED', 'USED BY OTHERS'],
      gpus.map((g) => [g.backend, g.gpus, g.gpusFree, gib(g.vramBytes), gib(g.vramClaimedBytes), gib(g.vramUsedBytes)]),
    );
  });

  withGrid(
    program.command('pardon').argument('<id>').argument('<app>', 'SHA-256 of the module').description('end a device’s quarantine'),
  ).action(async (id: string, app: string, options: GridOptions) => {
    const trust = (await clientOf(options).post(`/api/devices/${encodeURIComponent(id)}/pardon`, { app })) as DeviceTrust;
    if (options.json) sayJson(trust);
    else sayTrust(trust);
  });

  withGrid(program.command('drain').argument('<id>').description('let a device finish what it has and give it nothing new'))
    .option('--grace <seconds>', 'how long what it runs may take; the rest is left to others, from its checkpoints', String(GRACE_SECONDS))
    .action(async (id: string, options: GridOptions & { grace: string }) => {
      const graceSeconds = parseWhole(options.grace, '--grace', 0, MAX_GRACE_SECONDS);
      const device = (await clientOf(options).post(`/api/devices/${encodeURIComponent(id)}/drain`, { graceSeconds })) as DeviceSummary;
      if (options.json) sayJson(device);
      else sayDevices([device]);
    });

  const about = {
    undrain: 'give a drained device work again',
    revoke: 'shut a device out: its key is worth nothing from now on',
  };
  for (const action of ['undrain', 'revoke'] as const) {
    withGrid(program.command(action).argument('<id>').description(about[action])).action(async (id: string, options: GridOptions) => {
      const device = await clientOf(options).deviceAction(id, action);
      if (options.json) sayJson(device);
      else sayDevices([device]);
    });
  }
}
