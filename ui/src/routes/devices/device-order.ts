import type { DeviceSummary } from '#actors/contract/live.ts';

import type { DeviceFilter, DeviceSort } from '../../app/routes.ts';

const STATE_ORDER: readonly string[] = ['present', 'draining', 'absent', 'enrolled', 'revoked'];

const collator = new Intl.Collator('en', { numeric: true });

type Compare = (a: DeviceSummary, b: DeviceSummary) => number;

const byName: Compare = (a, b) => collator.compare(a.name, b.name) || (a.id < b.id ? -1 : 1);

/** Unknown values stand last whichever way the rest is sorted: they are not small, they are unknown. */
function byNumber(value: (device: DeviceSummary) => number | null, descending: boolean): Compare {
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return x === y ? 0 : x === null ? 1 : -1;
    return descending ? y - x : x - y;
  };
}

/**
 * Load as a share of the device's cores; above 1 when more wants to run than there are cores. Null when nobody knows it:
 * the device is away, or runs Windows, which has no load average and always says 0.
 */
export function loadShare(device: DeviceSummary): number | null {
  const here = device.state === 'present' || device.state === 'draining';
  if (!here || device.load === null || device.os === 'win32' || device.cores === null || device.cores === 0) return null;
  return Math.max(0, device.load) / device.cores;
}

export function deviceOrder(sort: DeviceSort, descending: boolean): Compare {
  const turn = descending ? -1 : 1;
  const compare: Record<DeviceSort, Compare> = {
    name: (a, b) => turn * byName(a, b),
    state: (a, b) => turn * (STATE_ORDER.indexOf(a.state) - STATE_ORDER.indexOf(b.state)),
    memory: byNumber((device) => device.memoryBytes, descending),
    running: byNumber((device) => device.running, descending),
    load: byNumber(loadShare, descending),
    seen: byNumber((device) => device.lastSeenAt, descending),
  };
  const chosen = compare[sort];
  return (a, b) => chosen(a, b) || byName(a, b);
}

export function devicesIn(filter: DeviceFilter, devices: readonly DeviceSummary[]): DeviceSummary[] {
  return devices.filter((device) => filter === 'all' || device.state === filter);
}
