import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { untilPresent } from '#tests/faults/grid-under-test.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';
import { startGrid, type AgentProcess, type Grid } from '#tests/support/grid.ts';
import { startProxy, type Proxy } from '#tests/support/proxy.ts';
import { waitUntil } from '#tests/support/wait-until.ts';

/** The machines of `bench -- failover-stream`, and what can happen to them. */

export const MODEL = 'babbler';
const CONTEXT = 2_048;
const READY_MS = 60_000;
export const FAULTS = ['host killed', 'agent killed', 'line cut', 'drained', 'on battery'] as const;
export type Fault = (typeof FAULTS)[number];

interface Machine {
  readonly name: string;
  readonly proxy: Proxy;
  readonly root: string;
  agent: AgentProcess;
}

export interface Fleet {
  readonly grid: Grid;
  /** Does it to that device. Answers how to make it whole again, resolving when it serves. */
  strike(device: string, fault: Fault): Promise<() => Promise<void>>;
  /** Moves that the coordinator told of so far. */
  moves(): number;
  end(): Promise<void>;
}

/** A coordinator and machines that all have the model loaded, each behind a line of its own and with a battery of its own. */
export async function startFleet(names: readonly string[]): Promise<Fleet> {
  const grid = await startGrid({ logLevel: 'info' });
  const machines: Machine[] = [];
  const file = path.join(grid.folder, `${MODEL}.gguf`);
  writeTinyLlama(file, { contextLength: CONTEXT });

  async function startAgent(name: string, proxy: Proxy, root: string): Promise<AgentProcess> {
    return grid.startAgent(name, { slots: 0, models: [file], contextSize: CONTEXT, sequences: 4, url: proxy.url, systemRoot: root });
  }

  async function load(device: string): Promise<void> {
    await untilPresent(grid, [device]);
    await waitUntil(
      `${device} has the model ready`,
      async () => {
        const { models } = await grid.client.device(device);
        const state = models.find(({ name }) => name === MODEL)?.state;
        if (state === 'ready') return true;
        if (state !== 'loading') await grid.client.post(`/api/models/${MODEL}/load`, { device }).catch(() => undefined);
        return false;
      },
      READY_MS,
    );
  }

  async function power(root: string, source: 'mains' | 'battery'): Promise<void> {
    const supply = path.join(root, 'sys', 'class', 'power_supply', 'AC');
    await mkdir(supply, { recursive: true });
    await writeFile(path.join(supply, 'type'), 'Mains\n');
    await writeFile(path.join(supply, 'online'), source === 'mains' ? '1\n' : '0\n');
    const battery = path.join(root, 'sys', 'class', 'power_supply', 'BAT0');
    await mkdir(battery, { recursive: true });
    await writeFile(path.join(battery, 'type'), 'Battery\n');
    await writeFile(path.join(battery, 'status'), source === 'mains' ? 'Full\n' : 'Discharging\n');
  }

  for (const name of names) {
    const root = path.join(grid.folder, `${name}-system`);
    await power(root, 'mains');
    const proxy = await startProxy(grid.url);
    machines.push({ name, root, proxy, agent: await startAgent(name, proxy, root) });
  }
  for (const { agent } of machines) await load(agent.device);

  async function strike(device: string, fault: Fault): Promise<() => Promise<void>> {
    const machine = machines.find(({ agent }) => agent.device === device);
    if (machine === undefined) throw new Error(`there is no device ${device}`);
    const { agent, proxy, root, name } = machine;
    const back = (): Promise<void> => load(agent.device);
    switch (fault) {
      case 'host killed':
        for (const pid of await hostsOf(agent.pid)) process.kill(pid, 'SIGKILL');
        return back;
      case 'agent killed':
        await agent.kill();
        return async () => {
          machine.agent = await startAgent(name, proxy, root);
          await back();
        };
      case 'line cut':
        proxy.cut();
        return async () => {
          proxy.mend();
          await back();
        };
      case 'drained':
        await grid.client.deviceAction(device, 'drain');
        return async () => {
          await grid.client.deviceAction(device, 'undrain');
          await back();
        };
      case 'on battery':
        await power(root, 'battery');
        return async () => {
          await power(root, 'mains');
          await back();
        };
    }
  }

  return {
    grid,
    strike,
    moves: () => grid.coordinator.output().split('generation moves').length - 1,
    async end() {
      await grid.end();
      for (const { proxy } of machines) await proxy.close();
    },
  };
}

/** Processes in which an agent's models run. */
async function hostsOf(agent: number): Promise<number[]> {
  const found: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const [stat, command] = await Promise.all([
      readFile(`/proc/${entry}/stat`, 'utf8').catch(() => ''),
      readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => ''),
    ]);
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    if (parent === agent && command.includes('inference-host.main')) found.push(Number(entry));
  }
  return found;
}
