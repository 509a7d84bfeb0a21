import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { macPower, readVitals, windowsPower } from '#agent/telemetry/vitals.ts';

let root = '';

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'vitals-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<void> {
  const at = path.join(root, 'sys/class', name);
  await mkdir(path.dirname(at), { recursive: true });
  await writeFile(at, `${text}\n`);
}

async function power(): Promise<string> {
  return (await readVitals({ folder: root, platform: 'linux', root })).power;
}

describe('power on Linux', () => {
  it('is unknown where nothing can be read', async () => {
    expect(await power()).toBe('unknown');
  });

  it('is mains on a machine whose kernel knows no supplies, or no battery', async () => {
    await mkdir(path.join(root, 'sys/class/net'), { recursive: true });
    expect(await power()).toBe('mains');
    await file('power_supply/hid-mouse/type', 'Battery');
    await file('power_supply/hid-mouse/scope', 'Device');
    expect(await power()).toBe('mains');
  });

  it('is battery while one discharges or the supply is off line, mains when one is on line', async () => {
    await file('power_supply/BAT0/type', 'Battery');
    expect(await power()).toBe('unknown');
    await file('power_supply/AC/type', 'Mains');
    await file('power_supply/AC/online', '0');
    expect(await power()).toBe('battery');
    await file('power_supply/AC/online', '1');
    expect(await power()).toBe('mains');
    await file('power_supply/BAT0/status', 'Discharging');
    await file('power_supply/AC/online', '0');
    expect(await power()).toBe('battery');
  });
});

describe('power elsewhere', () => {
  it('is read from what the system says', () => {
    expect(macPower("Now drawing from 'AC Power'\n")).toBe('mains');
    expect(macPower("Now drawing from 'Battery Power'\n -InternalBattery-0 81%")).toBe('battery');
    expect(macPower('')).toBe('unknown');
    expect(windowsPower('')).toBe('mains');
    expect(windowsPower('2\r\n')).toBe('mains');
    expect(windowsPower('2\r\n1\r\n')).toBe('battery');
    expect(windowsPower('Access denied')).toBe('unknown');
  });
});

describe('heat and disk', () => {
  it('are the hottest zone and the free bytes, or null', async () => {
    expect(await readVitals({ folder: path.join(root, 'gone'), platform: 'linux', root })).toMatchObject({
      celsius: null,
      diskFreeBytes: null,
    });
    await file('thermal/thermal_zone0/temp', '41500');
    await file('thermal/thermal_zone1/temp', '63000');
    const { celsius, diskFreeBytes } = await readVitals({ folder: root, platform: 'linux', root });
    expect(celsius).toBe(63);
    expect(diskFreeBytes).toBeGreaterThan(0);
  });
});
