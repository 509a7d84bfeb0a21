import type { DeviceReason } from '#actors/contract/why-pending.ts';

import type { Demand } from './demand.ts';
import { fitsGpu, freeCores, freeMemoryMiB, type FleetNode } from './fleet-node.ts';
import { MIB } from '#actors/contract/primitives.ts';

/** What is known of a device and an app beyond the device itself. */
export interface Standing {
  readonly quarantined: boolean;
  /** Wall clock, ms: no work of this app before. */
  readonly backoffUntil: number;
}

/**
 * Why this machine may never run this job, or not for now, whatever else it does; null when it may. Nothing here depends on
 * other attempts. Mains power is asked for unless the job says otherwise, and unknown is not mains.
 */
export function standingBlock(node: FleetNode, demand: Demand, standing: Standing | undefined, at: number): DeviceReason | null {
  const { constraints: c } = demand;
  const { vitals } = node;
  if (node.draining) return 'draining';
  if (node.suspended) return 'suspended';
  if (!node.kinds.includes(demand.kind)) return 'kind';
  if (c.os !== undefined && !c.os.includes(node.os)) return 'os';
  if (c.arch !== undefined && !c.arch.includes(node.arch)) return 'arch';
  if (c.sites !== undefined && (node.site === null || !c.sites.includes(node.site))) return 'site';
  if (c.excludeDevices?.includes(node.device) === true) return 'excluded';
  if (node.sandboxRank < demand.sandboxRank) return 'sandbox';
  if (node.cores < demand.cores) return 'coresTotal';
  if (node.memoryMiB < demand.memoryMiB) return 'memoryTotal';
  if (demand.gpus > 0) {
    let offered = 0;
    let large = 0;
    for (const gpu of node.gpus) {
      if (demand.backend !== null && gpu.backend !== demand.backend) continue;
      offered += 1;
      if (demand.vramMiB === null || gpu.totalMiB >= demand.vramMiB) large += 1;
    }
    if (offered < demand.gpus) return 'backend';
    if (large < demand.gpus) return 'vramTotal';
  }
  if (c.power === 'mains' && vitals.power !== 'mains') return 'power';
  if (c.owner === 'away' && (vitals.owner === 'present' || vitals.owner === 'unknown')) return 'owner';
  if (vitals.celsius !== null && vitals.celsius > c.maxCelsius) return 'temperature';
  if (standing?.quarantined === true) return 'quarantine';
  if (standing !== undefined && standing.backoffUntil > at) return 'backoff';
  return null;
}

/** Why there is no room on a machine that may run the job; null when there is. */
export function roomBlock(node: FleetNode, demand: Demand): DeviceReason | null {
  if (node.freeSlots < 1) return 'slots';
  if (freeCores(node) < demand.cores) return 'cores';
  if (freeMemoryMiB(node) < demand.memoryMiB) return 'memory';
  const { diskFreeBytes } = node.vitals;
  // A disk that nobody can read is no reason against a job that asks for none.
  if (demand.diskMiB > 0 && (diskFreeBytes === null || diskFreeBytes / MIB - node.claimedDiskMiB < demand.diskMiB)) return 'disk';
  if (demand.gpus > 0) {
    let fitting = 0;
    for (const gpu of node.gpus) if (fitsGpu(demand, gpu)) fitting += 1;
    if (fitting < demand.gpus) return 'vram';
  }
  return null;
}

/** Who may not get another attempt of one shard. */
export interface ShardBars {
  /** Devices that hold an attempt of it, voted on it, or speak with one voice with those. */
  readonly devices: ReadonlySet<string>;
  /** Sites that work on it, when the job spreads over sites. */
  readonly sites: ReadonlySet<string>;
}

export function shardBlock(node: FleetNode, bars: ShardBars): DeviceReason | null {
  if (bars.devices.has(node.device)) return 'barred';
  if (bars.sites.size > 0 && node.site !== null && bars.sites.has(node.site)) return 'spread';
  return null;
}
