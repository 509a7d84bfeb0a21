import type { Demand } from './demand.ts';
import type { FleetNode } from './fleet-node.ts';

/**
 * Dominant-resource fairness between tenants (Ghodsi et al., NSDI 2011): whoever has the smallest dominant share, divided by
 * the tenant's weight, is served next. The dominant share is the largest part of any one resource of the fleet that the
 * tenant's attempts were promised.
 */
export interface Usage {
  slots: number;
  cores: number;
  memoryMiB: number;
  gpus: number;
}

export function noUsage(): Usage {
  return { slots: 0, cores: 0, memoryMiB: 0, gpus: 0 };
}

export function addUsage(usage: Usage, demand: Demand, times: 1 | -1): void {
  usage.slots += times;
  usage.cores += times * demand.cores;
  usage.memoryMiB += times * demand.memoryMiB;
  usage.gpus += times * demand.gpus;
}

export function fleetTotals(nodes: Iterable<FleetNode>): Usage {
  const total = noUsage();
  for (const node of nodes) {
    total.slots += node.slots;
    total.cores += node.cores;
    total.memoryMiB += node.memoryMiB;
    total.gpus += node.gpus.length;
  }
  return total;
}

export function dominantShare(usage: Usage, total: Usage): number {
  return Math.max(
    part(usage.slots, total.slots),
    part(usage.cores, total.cores),
    part(usage.memoryMiB, total.memoryMiB),
    part(usage.gpus, total.gpus),
  );
}

function part(used: number, all: number): number {
  return all === 0 ? 0 : used / all;
}

/** Jain's index of what n parties got: 1 when all got the same, 1/n when one got everything. */
export function jainIndex(amounts: readonly number[]): number {
  const sum = amounts.reduce((a, b) => a + b, 0);
  const squares = amounts.reduce((a, b) => a + b * b, 0);
  return squares === 0 ? 1 : (sum * sum) / (amounts.length * squares);
}
