import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { FARTHEST, FARTHEST_SUM } from '#actors/audit/judgement.ts';
import { randomFrom } from '#tests/support/gguf/random-weights.ts';

import { type Answered, type AuditedModel, auditedModel, together } from './audit/audited-model.ts';
import { altered, forged, isAccepted, isFoundRight, replayed, steered } from './audit/frauds.ts';
import { type Variant, writeVariant } from './audit/model-variants.ts';
import { requests } from './audit/requests.ts';
import { type Benchmark, type Findings, median, rounded } from './benchmark.ts';
import { CONTEXT, VOCABULARY, writeRandomModel } from './inference/random-model.ts';

const FOLDERS = [process.env['CORPGRID_TEST_MODELS'], '../shared/models', '../../shared/models'];
const TRAINED = 'stories260K.gguf';
const TRAINED_VOCABULARY = 512;
const HASH = 'aa'.repeat(32);
const ANSWER: readonly [number, number] = [100, 100];

/** Threads, answers at once, and the share of the honest answers. Two threads are slow where others use the machine. */
const HONEST = [
  { threads: 1, sequences: 1, share: 0.3 },
  { threads: 1, sequences: 8, share: 0.36 },
  { threads: 1, sequences: 4, share: 0.24 },
  { threads: 2, sequences: 3, share: 0.1 },
] as const;
const VARIANTS: readonly Variant[] = ['pruned', 'retrained', 'fourBits', 'eightBits'];

/**
 * Answers of a trained model, honest ones and frauds, judged exactly as the grid judges them. What nobody can tell from the model's own answer, because
 * every token is the same, is not a fraud that was missed: it is counted beside the others as `Same`.
 */
export const audit: Benchmark = {
  about: 'false alarms among honest answers, frauds caught by an audit, and what an audit costs beside the answer',
  async run({ quick, note }) {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-audit-'));
    const trained = FOLDERS.map((each) => each && path.resolve(each, TRAINED)).find((each) => each !== undefined && existsSync(each));
    const figures: Record<string, number> = {};
    const ratios: Record<string, number> = {};
    const absent: Record<string, string> = {};
    try {
      if (trained === undefined) absent[TRAINED] = 'set CORPGRID_TEST_MODELS to the folder where it lies';
      else Object.assign(figures, await onTrained(trained, folder, { honest: quick ? 90 : 1_000, frauds: quick ? 16 : 300, note }));
      const random = path.join(folder, 'random.gguf');
      writeRandomModel(random);
      const { auditToAnswer, ...larger } = await onLarger(random, quick ? 3 : 24);
      ratios['auditToAnswer'] = auditToAnswer;
      Object.assign(figures, larger);
      return { figures, ratios, targets: TARGETS, absent };
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};

const CAUGHT = { atLeast: 0.99 };
const TARGETS: Findings['targets'] = {
  falseAlarms: { atMost: 0 },
  largerFalseAlarms: { atMost: 0 },
  prunedCaught: CAUGHT,
  retrainedCaught: CAUGHT,
  fourBitsCaught: CAUGHT,
  eightBitsCaught: CAUGHT,
  alteredCaught: CAUGHT,
  steeredCaught: CAUGHT,
  forgedRefused: CAUGHT,
  replayedRefused: CAUGHT,
  auditToAnswer: { atMost: 0.5 },
};

interface Trial {
  readonly honest: number;
  readonly frauds: number;
  readonly note: (text: string) => void;
}

async function onTrained(modelPath: string, folder: string, { honest, frauds, note }: Trial): Promise<Record<string, number>> {
  const figures: Record<string, number> = {
    honestAnswers: honest,
    fraudsOfEachKind: frauds,
    farthest: FARTHEST,
    farthestSum: FARTHEST_SUM,
  };
  const random = randomFrom(3);
  const base = { modelPath, model: HASH, contextSize: 512, threads: 1 };
  const auditor = await auditedModel({ ...base, device: 'dev-auditor', sequences: 4 });
  const distribution: Distribution = { worst: [], sums: [], alarms: 0 };
  try {
    for (const { threads, sequences, share } of HONEST) {
      const model = await auditedModel({ ...base, device: `dev-honest-${threads}-${sequences}`, threads, sequences });
      try {
        const asked = requests(Math.round(honest * share), { random, kinds: 'all', lengths: [20, 160] });
        const answers = await together(sequences, asked, (request) => model.answer(request));
        await judged(auditor, answers, distribution);
        note(`${answers.length} honest answers, ${threads} threads, ${sequences} at once: ${distribution.alarms} false alarms so far`);
        if (sequences === 8) Object.assign(figures, await swindles(model, auditor, { random, frauds, note }));
      } finally {
        await model.end();
      }
    }
    figures['falseAlarms'] = distribution.alarms;
    Object.assign(figures, quantiles('honestWorst', distribution.worst), quantiles('honestSum', distribution.sums));
    const own = await auditedModel({ ...base, device: 'dev-own', sequences: 4 });
    try {
      for (const variant of VARIANTS) {
        const other = path.join(folder, `${variant}.gguf`);
        await writeVariant(modelPath, other, variant);
        Object.assign(figures, await swapped(variant, { own, auditor, other: { ...base, modelPath: other } }, { random, frauds, note }));
      }
    } finally {
      await own.end();
    }
    return figures;
  } finally {
    await auditor.end();
  }
}

interface Distribution {
  readonly worst: number[];
  readonly sums: number[];
  alarms: number;
}

/** Adds what the auditor found to the distribution; answers which were found right. */
async function judged(auditor: AuditedModel, answers: readonly Answered[], into?: Distribution): Promise<boolean[]> {
  return together(auditor.sequences, answers, async (answer) => {
    const found = await auditor.recompute(answer.seen);
    const right = isFoundRight(answer, found);
    if (into === undefined) return right;
    into.worst.push(Math.max(...found.gaps));
    into.sums.push(found.gaps.reduce((sum, gap) => sum + gap, 0));
    if (!right) into.alarms += 1;
    return right;
  });
}

type Chance = Omit<Trial, 'honest'> & { readonly random: () => number };

const shareOf = (all: readonly boolean[], wanted: boolean): number => rounded(all.filter((each) => each === wanted).length / all.length);

/** Frauds with the right model. */
async function swindles(model: AuditedModel, auditor: AuditedModel, { random, frauds, note }: Chance): Promise<Record<string, number>> {
  const asked = requests(frauds, { random, kinds: 'seeded', lengths: ANSWER });
  const answers = await together(model.sequences, asked, (request) => model.answer(request));
  const changed = answers.map((answer) => altered(answer, TRAINED_VOCABULARY, random));
  const led = await together(model.sequences, answers, (answer) => steered(model, answer, random));
  const figures = {
    alteredCaught: shareOf(await judged(auditor, changed), false),
    steeredCaught: shareOf(await judged(auditor, led), false),
    honestAccepted: shareOf(
      answers.map((answer) => isAccepted(answer, model.key.publicKey)),
      true,
    ),
    forgedRefused: shareOf(
      answers.map((answer, n) => isAccepted(forged(answer, auditor, n), model.key.publicKey)),
      false,
    ),
    replayedRefused: shareOf(
      answers.map((answer, n) => isAccepted(replayed(answer, answers.at(n - 1) ?? answer, n), model.key.publicKey)),
      false,
    ),
  };
  note(`altered ${figures.alteredCaught}, steered ${figures.steeredCaught}`);
  return figures;
}

interface Swap {
  readonly own: AuditedModel;
  readonly auditor: AuditedModel;
  readonly other: Omit<Parameters<typeof auditedModel>[0], 'device' | 'sequences'>;
}

/** Another model under the right one's name. */
async function swapped(variant: Variant, { own, auditor, other }: Swap, { random, frauds, note }: Chance): Promise<Record<string, number>> {
  const model = await auditedModel({ ...other, device: `dev-${variant}`, sequences: 4 });
  try {
    const asked = requests(frauds, { random, kinds: 'seeded', lengths: ANSWER });
    const answers = await together(model.sequences, asked, (request) => model.answer(request));
    const rightly = await together(own.sequences, asked, (request) => own.answer(request));
    const same = answers.map(({ seen }, n) => seen.tokens.join() === rightly[n]?.seen.tokens.join());
    const found = await judged(auditor, answers);
    const figures = {
      [`${variant}Caught`]: shareOf(
        found.filter((_, n) => same[n] !== true),
        false,
      ),
      [`${variant}Same`]: shareOf(same, true),
    };
    note(JSON.stringify(figures));
    return figures;
  } finally {
    await model.end();
  }
}

function quantiles(name: string, values: readonly number[]): Record<string, number> {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => rounded(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
  return { [`${name}P50`]: at(0.5), [`${name}P99`]: at(0.99), [`${name}Most`]: at(1) };
}

/** Answer and audit in turn, alone on one thread, with a model of 134 million weights in eight bits and a vocabulary of 32,000. */
async function onLarger(modelPath: string, rounds: number): Promise<Record<string, number> & { readonly auditToAnswer: number }> {
  const model = await auditedModel({ modelPath, model: HASH, device: 'dev-random', contextSize: CONTEXT, threads: 1, sequences: 1 });
  const random = randomFrom(9);
  const pairs: number[] = [];
  const found: Distribution = { worst: [], sums: [], alarms: 0 };
  try {
    for (const request of requests(rounds, { random, kinds: 'seeded', lengths: [96, 96] })) {
      const prompt = Array.from({ length: 32 }, () => 400 + Math.floor(random() * (VOCABULARY - 400)));
      const from = performance.now();
      const answer = await model.answer({ ...request, prompt });
      const between = performance.now();
      await judged(model, [answer], found);
      pairs.push((performance.now() - between) / (between - from));
    }
  } finally {
    await model.end();
  }
  return {
    auditToAnswer: rounded(median(pairs)),
    largerFalseAlarms: found.alarms,
    ...quantiles('largerWorst', found.worst),
    ...quantiles('largerSum', found.sums),
  };
}
