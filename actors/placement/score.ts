import type { Demand } from './demand.ts';
import { fitsGpu, freeCores, freeVramMiB, type FleetNode } from './fleet-node.ts';

/** What the choice between machines that all may run an attempt also rests on. */
export interface Taste {
  /** How far this machine's results of this app are trusted, 0 to 1; new devices are worth .8. */
  readonly credibility: number;
  /** Cores that GPU work of this fleet takes for each GPU, as seen so far. */
  readonly coresPerGpu: number;
}

/** A new device's worth: the prior of the quorum's belief. */
export const NEW_DEVICE_CREDIBILITY = 0.8;

/**
 * How good this machine is for the demand; higher is better. The parts and their weights:
 *
 * | part | weight | why |
 * |---|---|---|
 * | credibility of the device for the app | 4 | a vote of a trusted device needs no second one |
 * | near the data (site) | 2 | bytes that need not travel |
 * | free share of its slots, when no GPU is asked for | 1 | spread: a lost machine takes less with it |
 * | idle processor | 1 | others on the machine, and attempts that share it, are not slowed down |
 * | cool | 1/2 | a hot machine slows itself down, then stops |
 * | mains, for work that may run on battery | 1/2 | |
 * | nobody works there, for work that may disturb | 1/2 | |
 * | GPUs that the choice wastes | -1/4 each | see `gpuCost` |
 */
export function score(node: FleetNode, demand: Demand, taste: Taste): number {
  const { constraints, gpus } = demand;
  const { vitals } = node;
  const near = constraints.nearSites !== undefined && node.site !== null && constraints.nearSites.includes(node.site) ? 1 : 0;
  const idle = 1 - Math.min(1, node.load);
  const cool = vitals.celsius === null ? 0.5 : Math.min(1, Math.max(0, (constraints.maxCelsius - vitals.celsius) / 50));
  let value = 4 * taste.credibility + 2 * near + idle + 0.5 * cool;
  if (vitals.power === 'mains') value += 0.5;
  if (vitals.owner === 'away' || vitals.owner === 'unwatched') value += 0.5;
  if (gpus === 0) value += node.slots === 0 ? 0 : node.freeSlots / node.slots;
  if (node.gpus.length > 0) value -= gpuCost(node, demand, taste.coresPerGpu) / 4;
  return value;
}

/**
 * GPUs, in whole ones, that this choice makes less useful: the sliver that stays on the tightest GPU; twice what stays free
 * on the machine, so that empty machines stay empty for large work; and what stays free but has too few cores left to feed
 * it. After "fragmentation gradient descent" (Weng et al., USENIX ATC 2023), with one typical task in place of a histogram:
 * a twentieth of its time, and as good on its trace.
 */
function gpuCost(node: FleetNode, demand: Demand, coresPerGpu: number): number {
  let free = 0;
  let tightest = Number.POSITIVE_INFINITY;
  let taken = 0;
  for (const gpu of node.gpus) {
    const left = freeVramMiB(gpu);
    free += left / gpu.totalMiB;
    if (demand.gpus === 0 || !fitsGpu(demand, gpu)) continue;
    const share = demand.vramMiB ?? gpu.totalMiB;
    const sliver = (left - share) / gpu.totalMiB;
    if (sliver < tightest) {
      tightest = sliver;
      taken = share / gpu.totalMiB;
    }
  }
  const cores = freeCores(node) - demand.cores;
  if (demand.gpus === 0) return free === 0 ? 0 : free + starved(free, cores, coresPerGpu);
  const left = Math.max(0, free - taken * demand.gpus);
  return tightest * 10 + 2 * left + starved(left, cores, coresPerGpu);
}

/** GPUs that stay free for want of cores, doubly, as they are lost and take up room. */
function starved(gpus: number, cores: number, coresPerGpu: number): number {
  return gpus < 0.001 ? 0 : Math.max(0, coresPerGpu - cores / gpus) * gpus * 2;
}
