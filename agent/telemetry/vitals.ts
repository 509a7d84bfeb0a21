import { execFile } from 'node:child_process';
import { readdir, readFile, statfs } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

import type { Vitals } from '#actors/contract/vitals.ts';

export interface VitalsOptions {
  /** Where attempts write. */
  readonly folder: string;
  readonly platform: NodeJS.Platform;
  /** Root of /sys; a test gives a made-up tree. */
  readonly root?: string;
}

/** Reads the machine's vitals. What cannot be read is said to be unknown; it never throws. */
export async function readVitals({ folder, platform, root = '/' }: VitalsOptions): Promise<Vitals> {
  const [power, celsius, disk] = await Promise.all([
    readPower(platform, root).catch(() => 'unknown' as const),
    platform === 'linux' ? hottest(root).catch(() => null) : null,
    statfs(folder).catch(() => null),
  ]);
  // Owners are not watched for yet: whoever starts an agent on a desktop gives it the slots that he can spare.
  return { power, owner: 'unwatched', celsius, diskFreeBytes: disk === null ? null : disk.bavail * disk.bsize, gpuUsedBytes: [] };
}

async function readPower(platform: NodeJS.Platform, root: string): Promise<Vitals['power']> {
  if (platform === 'linux') return linuxPower(root);
  if (platform === 'darwin') return macPower(await run('pmset', ['-g', 'batt']));
  if (platform === 'win32')
    return windowsPower(await run('powershell', ['-NoProfile', '-Command', '(Get-CimInstance Win32_Battery).BatteryStatus']));
  return 'unknown';
}

async function run(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, [...args], { timeout: 10_000, windowsHide: true });
  return stdout;
}

/** `Now drawing from 'AC Power'`. */
export function macPower(text: string): Vitals['power'] {
  if (text.includes("'AC Power'")) return 'mains';
  return text.includes("'Battery Power'") ? 'battery' : 'unknown';
}

/** A status for each battery, 1 while it is the source; nothing: there is none. */
export function windowsPower(text: string): Vitals['power'] {
  const batteries = text.split(/\s+/).filter((word) => word !== '');
  if (batteries.some((status) => !/^\d+$/.test(status))) return 'unknown';
  return batteries.includes('1') ? 'battery' : 'mains';
}

/** A supply on line is mains. Without one a battery of the system that is there, whatever its charge, is not. */
async function linuxPower(root: string): Promise<Vitals['power']> {
  const folder = path.join(root, 'sys/class/power_supply');
  const supplies = await readdir(folder).catch((error: unknown) => {
    // A kernel that knows no supplies (servers, virtual machines) knows no battery; /sys itself has to be there.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return readdir(path.join(root, 'sys/class')).then(() => []);
    throw error;
  });
  const read = async (supply: string, name: string): Promise<string> => (await readFile(path.join(folder, supply, name), 'utf8')).trim();
  let battery = false;
  let offLine = false;
  for (const supply of supplies) {
    const type = await read(supply, 'type');
    if (type === 'Battery') {
      // A mouse's battery is no supply of the machine.
      if ((await read(supply, 'scope').catch(() => 'System')) === 'Device') continue;
      battery = true;
      if ((await read(supply, 'status').catch(() => '')) === 'Discharging') return 'battery';
    } else if ((await read(supply, 'online').catch(() => '')) === '1') {
      return 'mains';
    } else {
      offLine = true;
    }
  }
  if (!battery) return 'mains';
  return offLine ? 'battery' : 'unknown';
}

/** Degrees of the hottest zone; null without any. */
async function hottest(root: string): Promise<number | null> {
  const folder = path.join(root, 'sys/class/thermal');
  const zones = (await readdir(folder)).filter((name) => name.startsWith('thermal_zone'));
  const readings = await Promise.all(zones.map((zone) => readFile(path.join(folder, zone, 'temp'), 'utf8').catch(() => '')));
  const known = readings.map((text) => Number.parseInt(text, 10) / 1_000).filter((celsius) => celsius > -100 && celsius < 500);
  return known.length === 0 ? null : Math.max(...known);
}
