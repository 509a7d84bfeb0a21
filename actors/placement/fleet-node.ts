import type { Capabilities } from '#actors/contract/agent-link.ts';
import { MIB } from '#actors/contract/primitives.ts';
import type { GpuBackend, JobKind } from '#actors/contract/requirements.ts';
import type { Vitals } from '#actors/contract/vitals.ts';

import { rankOf, type Demand } from './demand.ts';

/** One GPU of a machine and what is taken of it. */
export interface NodeGpu {
  readonly backend: GpuBackend;
  readonly totalMiB: number;
  /** Promised to attempts of ours. */
  claimedMiB: number;
  /** In use by others than our attempts, models included. */
  foreignMiB: number;
}

/**
 * A device as placement sees it: what it can do, how it is, and the ledger of what our attempts were promised. Free is what
 * is neither promised nor used by others. What others use is the agent's reading of all use, less what was promised when it
 * read: attempts count as using all of their promise.
 */
export interface FleetNode {
  readonly device: string;
  readonly os: Capabilities['os'];
  readonly arch: Capabilities['arch'];
  readonly kinds: readonly JobKind[];
  readonly site: string | null;
  readonly sandboxRank: number;
  /** As the machine has them. */
  readonly machineCores: number;
  /** As they are promised, one for each slot at least: more slots than cores are the operator's word. */
  readonly cores: number;
  readonly memoryMiB: number;
  readonly slots: number;
  readonly gpus: readonly NodeGpu[];
  draining: boolean;
  /** The socket is lost; the session may come back. */
  suspended: boolean;
  vitals: Vitals;
  foreignMemoryMiB: number;
  /** Load average over cores. */
  load: number;
  freeSlots: number;
  claimedCores: number;
  claimedMemoryMiB: number;
  claimedDiskMiB: number;
}

export interface NodeOptions {
  readonly device: string;
  readonly capabilities: Capabilities;
  readonly vitals: Vitals;
  readonly draining?: boolean;
}

export function fleetNode({ device, capabilities: c, vitals, draining = false }: NodeOptions): FleetNode {
  const node: FleetNode = {
    device,
    os: c.os,
    arch: c.arch,
    kinds: c.kinds,
    site: c.site ?? null,
    sandboxRank: rankOf(c.sandbox),
    machineCores: c.cores,
    cores: Math.max(c.cores, c.slots),
    memoryMiB: Math.floor(c.memoryBytes / MIB),
    slots: c.slots,
    gpus: c.gpus.map(({ backend, memoryBytes }) => ({ backend, totalMiB: Math.floor(memoryBytes / MIB), claimedMiB: 0, foreignMiB: 0 })),
    draining,
    suspended: false,
    vitals,
    foreignMemoryMiB: 0,
    load: 0,
    freeSlots: 0,
    claimedCores: 0,
    claimedMemoryMiB: 0,
    claimedDiskMiB: 0,
  };
  readVitals(node, vitals);
  return node;
}

export function readVitals(node: FleetNode, vitals: Vitals): void {
  node.vitals = vitals;
  for (const [i, gpu] of node.gpus.entries()) {
    const used = vitals.gpuUsedBytes[i] ?? null;
    gpu.foreignMiB = used === null ? 0 : Math.max(0, Math.ceil(used / MIB) - gpu.claimedMiB);
  }
}

/** `load` is the load average of the whole machine. */
export function readLoad(node: FleetNode, { load, memoryFreeBytes }: { load: number; memoryFreeBytes: number }): void {
  node.load = load / node.cores;
  // Nobody who beats has none left: an agent that could not read it says 0.
  if (memoryFreeBytes === 0) return;
  node.foreignMemoryMiB = Math.max(0, node.memoryMiB - Math.floor(memoryFreeBytes / MIB) - node.claimedMemoryMiB);
}

export function freeCores(node: FleetNode): number {
  return node.cores - node.claimedCores;
}

export function freeMemoryMiB(node: FleetNode): number {
  return node.memoryMiB - node.claimedMemoryMiB - node.foreignMemoryMiB;
}

export function freeVramMiB(gpu: NodeGpu): number {
  return Math.max(0, gpu.totalMiB - gpu.claimedMiB - gpu.foreignMiB);
}

/** Memory that this demand takes of this GPU: the whole of it when it asks for no part. */
function shareOf(demand: Demand, gpu: NodeGpu): number {
  return demand.vramMiB ?? gpu.totalMiB;
}

export function fitsGpu(demand: Demand, gpu: NodeGpu): boolean {
  return (demand.backend === null || demand.backend === gpu.backend) && freeVramMiB(gpu) >= shareOf(demand, gpu);
}

/** What a lease took, so that the very same is given back. */
export interface Claim {
  readonly cores: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  readonly gpus: readonly { readonly index: number; readonly memoryMiB: number }[];
}

/**
 * Takes what the demand needs of the node, its slot not counted. GPUs with the least free memory that fits are taken first,
 * so that whole ones stay whole. A demand that does not fit (an attempt from before a restart) takes what there is.
 */
export function charge(node: FleetNode, demand: Demand): Claim {
  const taken: { index: number; memoryMiB: number }[] = [];
  for (let n = 0; n < demand.gpus; n++) {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const [index, gpu] of node.gpus.entries()) {
      const free = freeVramMiB(gpu);
      if (free < least && fitsGpu(demand, gpu) && !taken.some((t) => t.index === index)) {
        best = index;
        least = free;
      }
    }
    const gpu = node.gpus[best];
    if (gpu === undefined) break;
    const memoryMiB = shareOf(demand, gpu);
    gpu.claimedMiB += memoryMiB;
    taken.push({ index: best, memoryMiB });
  }
  const { cores, memoryMiB, diskMiB } = demand;
  node.claimedCores += cores;
  node.claimedMemoryMiB += memoryMiB;
  node.claimedDiskMiB += diskMiB;
  return { cores, memoryMiB, diskMiB, gpus: taken };
}

export function refund(node: FleetNode, claim: Claim): void {
  node.claimedCores -= claim.cores;
  node.claimedMemoryMiB -= claim.memoryMiB;
  node.claimedDiskMiB -= claim.diskMiB;
  for (const { index, memoryMiB } of claim.gpus) {
    const gpu = node.gpus[index];
    if (gpu !== undefined) gpu.claimedMiB -= memoryMiB;
  }
}
