import { copyFile, readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { startGrid, type Grid } from '#tests/support/grid.ts';
import { writeTinyLlama } from '#tests/support/gguf/tiny-llama.ts';

import { chatWith, type ChatReport } from './chat.ts';
import { differenceFromTiles } from './render-check.ts';
import { runJob, type JobReport } from './run-job.ts';
import { createSteps } from './steps.ts';
import { firstDifference, wordTableByPipeline } from './word-count-check.ts';

/**
 * The main job on real input: a coordinator and three agents as processes, a word count over every Markdown file below a
 * folder, a path-traced picture and a chat, each checked by something that shares no code with it. Exit 0 when all holds.
 */

const ROOT = path.dirname(path.dirname(import.meta.dirname));
const AGENTS = ['ada', 'blaise', 'grace'];

interface Report {
  readonly ok: boolean;
  readonly seconds: number;
  readonly url: string;
  readonly agents: number;
  readonly jobs: { readonly wordCount: JobReport; readonly render: JobReport };
  readonly chat: ChatReport;
}

const { values } = parseArgs({
  options: { json: { type: 'boolean' }, keep: { type: 'boolean' }, root: { type: 'string' }, help: { type: 'boolean' } },
});
if (values.help === true) {
  process.stdout.write(
    'usage: npm run demo -- [--json] [--keep] [--root FOLDER]\n  --json  the report as JSON on stdout\n  --keep  leave the grid running until Ctrl-C\n  --root  count the words of the Markdown below this folder (default: node_modules)\n',
  );
  process.exit(0);
}
const out = values.json === true ? process.stderr : process.stdout;
const { step } = createSteps((text) => void out.write(text));

async function wordCount(grid: Grid): Promise<JobReport> {
  const root = path.resolve(values.root ?? path.join(ROOT, 'node_modules'));
  return step('word-count: count the words of all Markdown files, sharded over three agents', async (note) => {
    const done = await runJob(grid, path.join(ROOT, 'examples/word-count/job.yaml'), root, note);
    const ours = await readFile(path.join(done.folder, 'result'), 'latin1');
    const theirs = await wordTableByPipeline(root, '*.md');
    const difference = firstDifference(ours, theirs);
    const detail = difference ?? `all ${ours.split('\n').length - 1} words as find | tr | sort | uniq -c counts them`;
    note(`${done.files}; ${detail}`);
    return { ...done.report, check: difference === null ? 'passed' : 'failed', detail };
  });
}

async function render(grid: Grid): Promise<JobReport> {
  return step('render: path-trace a picture in tiles', async (note) => {
    const done = await runJob(grid, path.join(ROOT, 'examples/render/job.yaml'), undefined, note);
    const { view, shards } = done.summary;
    if (view === null) throw new Error('the render job has no view');
    const png = await readFile(path.join(done.folder, 'result'));
    const names = Array.from({ length: shards - 1 }, (_, i) => path.join(done.folder, `shard-${String(i).padStart(6, '0')}`));
    const tiles = await Promise.all(names.map((name) => readFile(name)));
    const difference = differenceFromTiles(png, view, tiles);
    const picture = path.join(grid.folder, 'render.png');
    await copyFile(path.join(done.folder, 'result'), picture);
    const detail = difference ?? `${view.width} × ${view.height} pixels equal the ${tiles.length} tiles`;
    note(detail);
    return { ...done.report, check: difference === null ? 'passed' : 'failed', detail };
  });
}

async function main(): Promise<boolean> {
  const started = performance.now();
  const grid = await step('start a coordinator with its own PostgreSQL', () => startGrid({ ui: values.keep === true }));
  try {
    const model = path.join(grid.folder, 'tiny.gguf');
    writeTinyLlama(model);
    await step('enrol three agents, each a process of its own', async (note) => {
      for (const name of AGENTS) await grid.startAgent(name, { slots: 1, models: [model] });
      note(grid.agents.map((a) => `${a.name} is ${a.device}`).join(', '));
    });
    const wordCountReport = await wordCount(grid);
    const renderReport = await render(grid);
    const chat = await step('chat: stream a completion through the OpenAI door', async (note) => {
      const report = await chatWith(grid, 'tiny');
      note(`${report.completionTokens} tokens at ${report.tokensPerSecond} per second from ${report.device}`);
      return report;
    });
    const jobs = { wordCount: wordCountReport, render: renderReport };
    const ok =
      Object.values(jobs).every((j) => j.check === 'passed' && j.fewestVotes >= 2 && j.receiptsVerified === j.shards) &&
      chat.check === 'passed';
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    const report: Report = { ok, seconds, url: grid.url, agents: grid.agents.length, jobs, chat };
    if (values.json === true) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
    out.write(ok ? `\nAll checks passed in ${seconds} s.\n` : '\nA check FAILED; the lines above say which.\n');
    if (values.keep === true) await keepRunning(grid);
    return ok;
  } finally {
    await grid.end();
  }
}

async function keepRunning(grid: Grid): Promise<void> {
  out.write(`The grid runs on at ${grid.url}/#key=${grid.adminKey} until Ctrl-C.\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
