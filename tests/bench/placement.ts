import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { PlacementBook } from '#actors/placement/placement.state.ts';
import type { Candidate } from '#actors/store/store.ts';
import { seededRandom } from '#runtime/simulation/random.ts';

import { type Benchmark, median, rounded } from './benchmark.ts';
import { simulateFairness } from './placement-fairness.ts';
import { arrivals, fleetOf, jobOf, replay, replayBestFit, type TraceNode, type TraceTask } from './placement-replay.ts';

/** The traces of a production cluster lie beside the project, not in it. */
const TRACES = path.resolve(import.meta.dirname, '../../../shared/traces');
const NODES = 1_213;
const PENDING = 10_000;
const PASSES = 5;

/** Placement's own cost per decision, GPUs that it gets out of a cluster beside best-fit, and fairness between tenants. */
export const placement: Benchmark = {
  about: 'decisions of the grid’s own placement: their time, GPUs allocated beside best-fit, fairness of two tenants 1000 : 1',
  async run({ quick, note }) {
    const absent: Record<string, string> = {};
    const folder = process.env['CORPGRID_TRACES'] ?? TRACES;
    const trace = await readTrace(folder).catch((error: unknown) => {
      absent['replay of a production trace'] = `a generated one took its place: ${error instanceof Error ? error.message : String(error)}`;
      return generatedTrace();
    });
    note(`deciding on ${PENDING} pending shards over ${trace.nodes.length} machines`);
    // The same decisions in each pass: what else ran on this machine only ever adds, so the least of each is its own time.
    const passes = Array.from({ length: PASSES }, () => decide(trace, PENDING));
    const pending = (passes[0] ?? []).map((_, n) => Math.min(...passes.map((pass) => pass[n] ?? Number.NaN)));

    const ratios: number[] = [];
    const ours: number[] = [];
    const best: number[] = [];
    const gpus = trace.nodes.reduce((sum, node) => sum + node.gpus, 0);
    for (let round = 1; round <= (quick ? 1 : 5); round++) {
      const tasks = arrivals(trace.tasks, gpus, seededRandom(round));
      const [a, b] = [replay(trace.nodes, tasks), replayBestFit(trace.nodes, tasks)];
      ours.push((100 * a.gpusAllocated) / gpus);
      best.push((100 * b.gpusAllocated) / gpus);
      ratios.push(a.gpusAllocated / b.gpusAllocated);
      note(`replay ${round}: ours ${a.gpusAllocated.toFixed(1)} GPUs of ${gpus}, best-fit ${b.gpusAllocated.toFixed(1)}`);
    }
    const fairness = simulateFairness({ seconds: 60, random: seededRandom(7) });
    return {
      figures: {
        nodes: trace.nodes.length,
        pendingShards: PENDING,
        decisions: pending.length,
        decisionP50Ms: rounded(percentile(pending, 0.5)),
        decisionP99Ms: rounded(percentile(pending, 0.99)),
        decisionDisturbedP99Ms: rounded(percentile(passes[0] ?? [], 0.99)),
        replays: ours.length,
        gpusAllocatedPercent: rounded(median(ours)),
        bestFitAllocatedPercent: rounded(median(best)),
        jainShortfall60s: rounded(1 - fairness.jain),
        placedInFairness: fairness.placed,
        priorityInversions: fairness.inversions,
      },
      // Of the worst replay: best-fit's GPUs over ours.
      ratios: { 'bestFit/ours': rounded(1 / Math.min(...ratios)) },
      targets: {
        decisionP99Ms: { atMost: 1 },
        'bestFit/ours': { atMost: 1 },
        jainShortfall60s: { atMost: 0.05 },
        priorityInversions: { atMost: 0 },
      },
      absent,
    };
  },
};

/**
 * One decision at a time with all shards pending: what to look at, where to put it, what became of it. The fleet fills up on
 * the way, so that later decisions find few machines with room.
 */
function decide({ nodes, tasks }: Trace, pending: number): number[] {
  const book = new PlacementBook();
  for (const node of fleetOf(nodes)) book.addNode(node);
  const random = seededRandom(3);
  const shards = new Map<string, number[]>();
  let ids = 0;
  for (let n = 0; n < 100; n++) {
    const task = tasks[Math.floor(random() * tasks.length)];
    if (task === undefined) throw new Error('a trace without tasks');
    const job = jobOf(task, n, { tenant: `tenant-${n % 10}`, priority: n % 3 });
    book.openJob(job);
    shards.set(
      job.job,
      Array.from({ length: pending / 100 }, () => (ids += 1)),
    );
  }
  const times: number[] = [];
  for (let n = 0; n < pending; n++) {
    const started = performance.now();
    const draws = book.draws(1, 0);
    const candidates = candidatesOf(draws, shards);
    const [placed] = book.place(candidates, { at: 0, random, limit: 1 });
    const of = candidates.find((c) => c.shardId === placed?.shardId);
    const leases = placed && of ? [{ ...of, fence: { epoch: 1, seq: n + 1 }, device: placed.device }] : [];
    book.settle(leases, draws, candidates);
    times.push(performance.now() - started);
    if (draws.length === 0) break;
    const list = of && shards.get(of.job);
    if (list && of) list.splice(list.indexOf(of.shardId), 1);
  }
  return times;
}

function candidatesOf(draws: ReturnType<PlacementBook['draws']>, shards: ReadonlyMap<string, readonly number[]>): Candidate[] {
  return draws.flatMap(({ jobs, limit }) =>
    jobs
      .flatMap((job) => (shards.get(job) ?? []).slice(0, limit).map((shardId) => ({ job, shardId })))
      .slice(0, limit)
      .map(({ job, shardId }) => ({ shardId, job, partition: 0, index: shardId, wanted: 1, priority: 0, barred: [] })),
  );
}

interface Trace {
  readonly nodes: readonly TraceNode[];
  readonly tasks: readonly TraceTask[];
}

async function readTrace(folder: string): Promise<Trace> {
  const rows = async (name: string): Promise<Record<string, string>[]> => {
    const [head = '', ...lines] = (await readFile(path.join(folder, name), 'utf8')).trim().split('\n');
    const names = head.split(',');
    return lines.map((line) => Object.fromEntries(line.split(',').map((value, i) => [names[i] ?? '', value])));
  };
  const [nodes, tasks] = await Promise.all([rows('gpu-nodes.csv'), rows('gpu-pods.csv')]);
  return {
    nodes: nodes.map((n) => ({ cores: Number(n['cpu_milli']) / 1_000, memoryMiB: Number(n['memory_mib']), gpus: Number(n['gpu']) })),
    tasks: tasks.map((p) => ({
      cores: Number(p['cpu_milli']) / 1_000,
      memoryMiB: Number(p['memory_mib']),
      gpus: Number(p['num_gpu']),
      milli: Number(p['gpu_milli']),
    })),
  };
}

/** As many machines, of kinds like those of the trace, and tasks of a like mix. */
function generatedTrace(): Trace {
  const random = seededRandom(11);
  const pick = <T>(list: readonly T[]): T => {
    const one = list[Math.floor(random() * list.length)];
    if (one === undefined) throw new Error('a choice of nothing');
    return one;
  };
  const kinds: readonly TraceNode[] = [
    { cores: 96, memoryMiB: 393_216, gpus: 8 },
    { cores: 104, memoryMiB: 524_288, gpus: 2 },
    { cores: 16, memoryMiB: 122_880, gpus: 2 },
  ];
  return {
    nodes: Array.from({ length: NODES }, () => pick(kinds)),
    tasks: Array.from({ length: 8_000 }, () => {
      const gpus = random() < 0.13 ? 0 : random() < 0.02 ? 8 : 1;
      const milli = gpus === 0 ? 0 : gpus > 1 || random() < 0.55 ? 1_000 : pick([110, 230, 320, 470, 650, 810]);
      return { cores: pick([3, 8, 11, 12, 16]) * Math.max(1, gpus), memoryMiB: pick([5_600, 16_384, 30_517, 49_152]), gpus, milli };
    }),
  };
}

function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
