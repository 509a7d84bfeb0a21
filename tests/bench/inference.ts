import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { randomFrom } from '#tests/support/gguf/random-weights.ts';

import { type Benchmark, median, rounded } from './benchmark.ts';
import { bareLibrary, type Contender, llamaServer, ourHost, SEQUENCES } from './inference/contenders.ts';
import { VOCABULARY, writeRandomModel } from './inference/random-model.ts';

const STREAMS = [1, 4, SEQUENCES];
const PROMPT_TOKENS = 8;
const LONG_PROMPT = 256;
/** Of llama-server's, by the number of streams. */
const AT_LEAST: Readonly<Record<number, number>> = { 1: 0.95, 4: 0.9, 8: 0.9 };
const PROGRAM = process.env['CORPGRID_LLAMA_SERVER'] ?? 'llama-server';

/**
 * Tokens per second of a model made on the spot: our host with its process and its scheduler, the bare library, and llama-server of the
 * same release where CORPGRID_LLAMA_SERVER names one. One thread each, in turn, so that a busy machine disturbs all alike.
 */
export const inference: Benchmark = {
  about: 'tokens per second at 1, 4 and 8 streams, beside the bare library and llama-server',
  async run({ quick, note }) {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'corpgrid-inference-'));
    const contenders = new Map<string, Contender>();
    const absent: Record<string, string> = {};
    try {
      const model = path.join(folder, 'random.gguf');
      writeRandomModel(model);
      contenders.set('ours', await ourHost(model));
      contenders.set('bare', await bareLibrary(model));
      try {
        contenders.set('server', await llamaServer(model, PROGRAM));
      } catch (error) {
        absent['llama-server'] = error instanceof Error ? error.message : String(error);
      }
      const measured = await measure(contenders, { rounds: quick ? 2 : 5, answer: quick ? 24 : 96, note });
      return { ...findingsOf(measured), absent };
    } finally {
      for (const contender of contenders.values()) await contender.end();
      await rm(folder, { recursive: true });
    }
  },
};

interface Settings {
  readonly rounds: number;
  readonly answer: number;
  readonly note: (text: string) => void;
}

async function measure(contenders: ReadonlyMap<string, Contender>, { rounds, answer, note }: Settings): Promise<Map<string, number[]>> {
  const random = randomFrom(5);
  const prompt = (length: number): number[] => Array.from({ length }, () => 400 + Math.floor(random() * (VOCABULARY - 400)));
  const results = new Map<string, number[]>();
  for (const contender of contenders.values()) await contender.generate(prompt(PROMPT_TOKENS), 4);
  for (let round = 0; round < rounds; round++) {
    for (const streams of STREAMS) {
      const prompts = Array.from({ length: streams }, () => prompt(PROMPT_TOKENS));
      await each(contenders, results, `Tokens${streams}`, round, async (contender) => {
        const counts = await Promise.all(prompts.map((p) => contender.generate(p, answer)));
        return counts.reduce((sum, count) => sum + count, 0);
      });
    }
    const long = prompt(LONG_PROMPT);
    await each(contenders, results, 'Prompt', round, async (contender) => {
      await contender.generate(long, 1);
      return LONG_PROMPT;
    });
    note(`round ${round + 1} of ${rounds}: ${Array.from(results, ([name, v]) => `${name} ${rounded(v.at(-1) ?? 0)}`).join(', ')}`);
  }
  return results;
}

/** All contenders with the same work, another one first in each round. */
async function each(
  contenders: ReadonlyMap<string, Contender>,
  results: Map<string, number[]>,
  what: string,
  round: number,
  work: (contender: Contender) => Promise<number>,
): Promise<void> {
  const all = [...contenders];
  const turned = [...all.slice(round % all.length), ...all.slice(0, round % all.length)];
  for (const [name, contender] of turned) {
    const from = performance.now();
    const tokens = await work(contender);
    const perSecond = tokens / ((performance.now() - from) / 1_000);
    results.set(`${name}${what}`, [...(results.get(`${name}${what}`) ?? []), perSecond]);
  }
}

function findingsOf(measured: ReadonlyMap<string, readonly number[]>) {
  const figures: Record<string, number> = {};
  for (const [name, values] of measured) figures[`${name}PerSecond`] = rounded(median(values));
  const ratios: Record<string, number> = {};
  const targets: Record<string, { atLeast: number }> = {};
  for (const what of [...STREAMS.map((n) => `Tokens${n}`), 'Prompt']) {
    for (const other of ['bare', 'server']) {
      const theirs = measured.get(`${other}${what}`);
      // In pairs: what disturbs a round disturbs both.
      const pairs = (measured.get(`ours${what}`) ?? []).map((value, i) => value / (theirs?.[i] ?? Number.NaN));
      if (theirs !== undefined) ratios[`oursTo${other === 'bare' ? 'Bare' : 'Server'}${what}`] = rounded(median(pairs));
    }
  }
  for (const n of STREAMS) targets[`oursToServerTokens${n}`] = { atLeast: AT_LEAST[n] ?? 1 };
  targets['oursToServerPrompt'] = { atLeast: 0.95 };
  return { figures, ratios, targets };
}
