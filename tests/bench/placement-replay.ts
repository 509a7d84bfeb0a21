import type { Capabilities } from '#actors/contract/agent-link.ts';
import { JobSpec } from '#actors/contract/job-spec.ts';
import { MIB } from '#actors/contract/primitives.ts';
import { demandOf } from '#actors/placement/demand.ts';
import { fleetNode, freeCores, freeMemoryMiB, freeVramMiB, charge, type FleetNode } from '#actors/placement/fleet-node.ts';
import { roomBlock } from '#actors/placement/hard-filters.ts';
import type { OpenJob } from '#actors/placement/job-order.ts';
import { PlacementBook } from '#actors/placement/placement.state.ts';
import type { Candidate } from '#actors/store/store.ts';

/** A machine and a task of a trace. A GPU counts as 1000 MiB of memory: the trace gives shares in thousandths. */
export interface TraceNode {
  readonly cores: number;
  readonly memoryMiB: number;
  readonly gpus: number;
}

export interface TraceTask {
  readonly cores: number;
  readonly memoryMiB: number;
  readonly gpus: number;
  readonly milli: number;
}

const GPU_MIB = 1_000;
/** Tasks at once on one machine, as far as slots go: the trace knows no such limit. */
const SLOTS = 4_096;

export interface Replayed {
  readonly gpusAllocated: number;
  /** Milliseconds of each decision. */
  readonly decisions: readonly number[];
}

/** Tasks until they asked for 1.3 times the GPUs there are, as its authors measure (Weng et al., USENIX ATC 2023). */
export function arrivals(tasks: readonly TraceTask[], gpus: number, random: () => number): TraceTask[] {
  const list: TraceTask[] = [];
  for (let asked = 0; asked < gpus * 1.3;) {
    const task = tasks[Math.floor(random() * tasks.length)];
    if (task === undefined) throw new Error('a trace without tasks');
    list.push(task);
    asked += (task.gpus * task.milli) / 1_000;
  }
  return list;
}

export function fleetOf(nodes: readonly TraceNode[]): FleetNode[] {
  return nodes.map(({ cores, memoryMiB, gpus }, n) => {
    const capabilities: Capabilities = {
      agentVersion: 'trace',
      hostname: `node-${n}`,
      os: 'linux',
      arch: 'x64',
      cores,
      memoryBytes: memoryMiB * MIB,
      slots: SLOTS,
      kinds: ['wasm'],
      gpus: Array.from({ length: gpus }, () => ({ name: 'trace', backend: 'cuda' as const, memoryBytes: GPU_MIB * MIB })),
      models: [],
    };
    const vitals = { power: 'mains', owner: 'unwatched', celsius: null, diskFreeBytes: null, gpuUsedBytes: [] } as const;
    // Slots are no core here.
    return { ...fleetNode({ device: `node-${String(n).padStart(5, '0')}`, capabilities, vitals: { ...vitals, gpuUsedBytes: [] } }), cores };
  });
}

export function jobOf(task: TraceTask, n: number, options: Partial<OpenJob> = {}): OpenJob {
  const gpu = task.gpus === 0 ? {} : { gpu: { count: task.gpus, vramMiB: task.milli } };
  const spec = JobSpec.parse({
    version: 1,
    name: `task ${n}`,
    kind: 'wasm',
    module: { sha256: '0'.repeat(64), size: 1 },
    shards: { count: 1 },
    resources: { cores: Math.max(0.001, task.cores), memoryMiB: Math.max(1, task.memoryMiB), ...gpu },
  });
  return { job: `job-${n}`, tenant: 'trace', priority: 0, submittedAt: n, deadlineAt: null, demand: demandOf(spec), ...options };
}

/** Each task as a job of one shard, through the book that the grid places with. */
export function replay(nodes: readonly TraceNode[], tasks: readonly TraceTask[]): Replayed {
  const book = new PlacementBook();
  for (const node of fleetOf(nodes)) book.addNode(node);
  const decisions: number[] = [];
  let milli = 0;
  for (const [n, task] of tasks.entries()) {
    const job = jobOf(task, n);
    book.openJob(job);
    const candidate: Candidate = { shardId: n, job: job.job, partition: 0, index: 0, wanted: 1, priority: 0, barred: [] };
    const started = performance.now();
    const placed = book.place([candidate], { at: 0, random: () => 0 });
    decisions.push(performance.now() - started);
    const leases = placed.map(({ device }) => ({
      fence: { epoch: 1, seq: n + 1 },
      job: job.job,
      partition: 0,
      shardId: n,
      index: 0,
      device,
    }));
    book.settle(leases);
    if (placed.length > 0) milli += task.gpus * task.milli;
    book.closeJob(job.job);
  }
  return { gpusAllocated: milli / 1_000, decisions };
}

/** The baseline: the machine with the least of everything left, each resource against the largest machine's. */
export function replayBestFit(nodes: readonly TraceNode[], tasks: readonly TraceTask[]): Replayed {
  const fleet = fleetOf(nodes);
  for (const node of fleet) node.freeSlots = SLOTS;
  const most = (value: (node: TraceNode) => number): number => Math.max(1, ...nodes.map(value));
  const [cores, memory, gpus] = [most((n) => n.cores), most((n) => n.memoryMiB), most((n) => n.gpus)];
  const decisions: number[] = [];
  let milli = 0;
  for (const [n, task] of tasks.entries()) {
    const { demand } = jobOf(task, n);
    const started = performance.now();
    let best: FleetNode | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const node of fleet) {
      if (roomBlock(node, demand) !== null) continue;
      const vram = node.gpus.reduce((sum, gpu) => sum + freeVramMiB(gpu), 0) / GPU_MIB;
      const left = freeCores(node) / cores + freeMemoryMiB(node) / memory + vram / gpus;
      if (left < least) {
        least = left;
        best = node;
      }
    }
    decisions.push(performance.now() - started);
    if (best === undefined) continue;
    charge(best, demand);
    best.freeSlots -= 1;
    milli += task.gpus * task.milli;
  }
  return { gpusAllocated: milli / 1_000, decisions };
}
