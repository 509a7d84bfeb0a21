import { type Benchmark, rounded, type Target } from './benchmark.ts';
import { type Attack, playWorld, type WorldOptions, type WorldReport } from './trust-world.ts';

/** The error that the jobs allow. */
const MAX_ERROR = 1e-3;
const DEVICES = 200;

interface Sabotage {
  readonly attack: Attack;
  readonly sleep?: number;
  readonly whitewash?: boolean;
}

const ATTACKS: Readonly<Record<string, Sabotage>> = {
  alone100: { attack: { kind: 'alone', share: 1 } },
  alone2: { attack: { kind: 'alone', share: 0.02 } },
  collude100: { attack: { kind: 'collude', share: 1 } },
  collude10: { attack: { kind: 'collude', share: 0.1 } },
  collude1: { attack: { kind: 'collude', share: 0.01 } },
  peek10: { attack: { kind: 'peek', share: 0.1 } },
  sleeper300: { attack: { kind: 'collude', share: 0.3 }, sleep: 300 },
  whitewash10: { attack: { kind: 'collude', share: 0.1 }, whitewash: true },
  whitewashSleeper100: { attack: { kind: 'collude', share: 0.5 }, sleep: 100, whitewash: true },
  whitewashSleeper300: { attack: { kind: 'collude', share: 0.5 }, sleep: 300, whitewash: true },
};
const SHARES = [5, 10, 20, 30] as const;
/** Cheats so rare that redundancy may rise to catch them. */
const RARE = new Set(['alone2', 'collude1']);

interface Scale {
  readonly seeds: readonly number[];
  readonly jobs: number;
  readonly attacks: readonly string[];
  readonly shares: readonly number[];
  readonly captureSeeds: number;
}

const FULL: Scale = { seeds: [1, 2], jobs: 24, attacks: Object.keys(ATTACKS), shares: SHARES, captureSeeds: 200 };
const QUICK: Scale = { seeds: [1], jobs: 12, attacks: ['collude10', 'alone2', 'whitewash10'], shares: [30], captureSeeds: 3 };

/** Several seeds of one world, added up. */
type Sum = { -readonly [Key in keyof Omit<WorldReport, 'failure'>]: number };

async function play(
  options: Omit<WorldOptions, 'seed' | 'trust'> & Partial<Pick<WorldOptions, 'trust'>>,
  seeds: readonly number[],
): Promise<Sum> {
  const sum: Partial<Sum> = {};
  for (const seed of seeds) {
    const { failure, ...report } = await playWorld({ trust: { maxError: MAX_ERROR }, ...options, seed });
    if (failure !== null && options.core !== 0) throw new Error(`a job failed: ${failure}`);
    for (const [name, value] of Object.entries(report) as [keyof Sum, number][]) sum[name] = (sum[name] ?? 0) + value;
  }
  return sum as Sum;
}

/**
 * What is accepted and what it costs: the real QuorumActor over ledger and memory store in virtual time, with fleets of
 * which some lie. The baseline is the same actor counting two equal votes.
 */
export const trust: Benchmark = {
  about: 'accepted error and executions per shard of the real QuorumActor under ten attacks, beside a quorum of two',
  async run({ quick, note }) {
    const scale = quick ? QUICK : FULL;
    const figures: Record<string, number> = {};
    const targets: Record<string, Target> = {};
    const began = performance.now();
    let executions = 0;
    const figure = (name: string, value: number, atMost?: number): void => {
      figures[name] = rounded(value);
      if (atMost !== undefined) targets[name] = { atMost };
    };

    let worstError = 0;
    let collusion: Sum | null = null;
    let expelled = 0;
    for (const name of scale.attacks) {
      for (const share of scale.shares) {
        const sabotage = ATTACKS[name];
        if (sabotage === undefined) throw new Error(`no attack ${name}`);
        const sum = await play({ ...sabotage, saboteurs: share / 100, jobs: scale.jobs }, scale.seeds);
        const error = sum.wrong / sum.shards;
        const perShard = sum.executions / sum.shards;
        executions += sum.executions;
        worstError = Math.max(worstError, error);
        expelled = Math.max(expelled, sum.honestExpelled / scale.seeds.length);
        figure(`${name}At${share}Error`, error, MAX_ERROR);
        // A quick run is mostly the time in which devices earn their credit, which is not what the targets are about.
        figure(`${name}At${share}ExecutionsPerShard`, perShard, quick ? undefined : sabotage.whitewash ? 2.3 : RARE.has(name) ? 2 : 1.55);
        if (name === 'collude10' && share === 30) collusion = sum;
        note(
          `${name} at ${share} %: error ${error.toExponential(1)}, ${perShard.toFixed(3)} executions per shard, ${sum.honestExpelled} honest expelled, ${sum.saboteursLeft} saboteurs left`,
        );
      }
    }
    figure('worstError', worstError, MAX_ERROR);
    figure('honestExpelledOf200', expelled, 2.5);

    for (const [name, core] of [
      ['clean', 0.05],
      ['cleanWithoutCore', 0],
    ] as const) {
      const sum = await play({ flaky: 0, core, jobs: scale.jobs }, scale.seeds);
      executions += sum.executions;
      figure(`${name}Error`, sum.wrong / sum.shards, MAX_ERROR);
      figure(`${name}SecondHalfExecutionsPerShard`, sum.lateExecutions / sum.lateShards, 1.1);
      note(
        `${name}: ${(sum.executions / sum.shards).toFixed(3)} executions per shard, ${(sum.lateExecutions / sum.lateShards).toFixed(3)} in the second half`,
      );
    }

    for (const devices of [1, 3, 10]) {
      const sum = await play({ devices, core: 1 / devices, flaky: 0, jobs: 2, shards: 200 }, scale.seeds);
      figure(`fleetOf${devices}LostShards`, sum.lost, 0);
      figure(`fleetOf${devices}WrongShards`, sum.wrong);
      figure(`fleetOf${devices}ExecutionsPerShard`, sum.executions / sum.shards);
    }

    let captured = 0;
    for (let seed = 1; seed <= scale.captureSeeds; seed++) {
      const options = { saboteurs: 0.55, attack: { kind: 'collude', share: seed % 2 === 0 ? 1 : 0.1 }, jobs: 5, shards: 2_000 } as const;
      const sum = await play(options, [seed]);
      executions += sum.executions;
      if (sum.saboteursLeft > 0.5 * Math.round(0.55 * DEVICES) && sum.lateWrong / sum.lateShards > 0.005) captured += 1;
      if (seed % 20 === 0) note(`capture: ${captured} of ${seed} seeds`);
    }
    figure('captureSeeds', scale.captureSeeds);
    figure('capturedByMajority', captured, 0);

    const pairs = await play(
      { saboteurs: 0.3, attack: { kind: 'collude', share: 0.1 }, jobs: scale.jobs, trust: { quorum: 2 } },
      scale.seeds,
    );
    figure('quorum2Error', pairs.wrong / pairs.shards);
    figure('quorum2ExecutionsPerShard', pairs.executions / pairs.shards);
    figure('executionsPerSecond', executions / ((performance.now() - began) / 1_000));
    const ratios: Record<string, number> = {};
    if (collusion !== null) {
      ratios['wrong/quorum2'] = rounded(collusion.wrong / pairs.wrong);
      ratios['executions/quorum2'] = rounded(collusion.executions / pairs.executions);
      targets['wrong/quorum2'] = { atMost: 1 / 50 };
      if (!quick) targets['executions/quorum2'] = { atMost: 0.75 };
    }
    return { figures, ratios, targets, absent: {} };
  },
};
