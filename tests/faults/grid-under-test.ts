import { existsSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { expect, onTestFinished } from 'vitest';

import { startGrid, type AgentProcess, type Grid, type GridOptions } from '#tests/support/grid.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

/** A grid whose end, and the leak check after it, are the end of the running test. */
export async function startTestGrid(options: GridOptions = {}): Promise<Grid> {
  const grid = await startGrid(options);
  onTestFinished(() => endWithoutLeak(grid));
  return grid;
}

/** Stops everything and looks for what is left: processes of any kind that know the grid's folder, and the folder. */
export async function endWithoutLeak(grid: Grid): Promise<void> {
  await grid.end();
  // An attempt's process notices its agent's end by its lifeline, within moments.
  await waitUntil('all processes of the grid are gone', async () => (await processesOf(grid.folder)).length === 0, 10_000).catch(
    () => undefined,
  );
  expect(await processesOf(grid.folder)).toEqual([]);
  expect(existsSync(grid.folder)).toBe(false);
}

/** Processes that were started with a path in the folder, or work in it: coordinator, agents, attempts, PostgreSQL and its children. */
async function processesOf(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const [command, cwd] = await Promise.all([
        readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
        readlink(`/proc/${pid}/cwd`).catch(() => ''),
      ]);
      return command.includes(folder) || cwd.startsWith(folder) ? `${pid} ${command.replaceAll('\0', ' ')}` : '';
    }),
  );
  return found.filter((line) => line !== '');
}

/** Starts agents of one slot each and waits until the grid sees them. */
export async function startAgents(grid: Grid, names: readonly string[], url?: string): Promise<AgentProcess[]> {
  const agents: AgentProcess[] = [];
  for (const name of names) agents.push(await grid.startAgent(name, url === undefined ? {} : { url }));
  await untilPresent(
    grid,
    agents.map((agent) => agent.device),
  );
  return agents;
}

export async function untilPresent(grid: Grid, devices: readonly string[], withinMs = 30_000): Promise<void> {
  await waitUntil(
    `${devices.join(', ')} present`,
    async () => {
      const present = new Set((await grid.client.devices()).filter((d) => d.state === 'present').map((d) => d.id));
      return devices.every((device) => present.has(device));
    },
    withinMs,
  );
}
