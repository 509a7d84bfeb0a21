import type { DeviceLedger } from '#actors/contract/cluster-report.ts';
import { MIB } from '#actors/contract/primitives.ts';

import type { FleetNode } from './fleet-node.ts';

/** What the node has and what is taken of it, as people see it: one entry for each of its GPUs. */
export function nodeLedger(node: FleetNode): DeviceLedger {
  return {
    device: node.device,
    cores: node.machineCores,
    coresClaimed: node.claimedCores,
    memoryBytes: node.memoryMiB * MIB,
    memoryClaimedBytes: node.claimedMemoryMiB * MIB,
    slots: node.slots,
    slotsFree: Math.max(0, node.freeSlots),
    gpus: node.gpus.map(({ backend, totalMiB, claimedMiB, foreignMiB }) => ({
      backend,
      gpus: 1,
      gpusFree: claimedMiB === 0 && foreignMiB < totalMiB / DESKTOP_PART ? 1 : 0,
      vramBytes: totalMiB * MIB,
      vramClaimedBytes: claimedMiB * MIB,
      vramUsedBytes: foreignMiB * MIB,
    })),
  };
}

/** A GPU that also drives a screen uses a little of its memory for that and is free all the same. */
const DESKTOP_PART = 8;
