import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import type { Command } from 'commander';

import type { JobSummary } from '#actors/contract/live.ts';
import type { WhyPending } from '#actors/contract/why-pending.ts';
import type { GridClient } from '#bin/client/grid-client.ts';
import { EXIT, say, sayJson, sayTable } from '#bin/client/print.ts';
import { followJob } from '#bin/client/follow-job.ts';
import { GridError } from '#runtime/errors.ts';

import { clientOf, parseWhole, type GridOptions } from './settings.ts';

type SubmitOptions = GridOptions & { readonly name?: string; readonly quorum?: string; readonly root?: string; readonly wait: boolean };

export function withGrid(command: Command): Command {
  return command
    .option('--url <url>', 'address of the grid (or CORPGRID_URL)')
    .option('--key <key>', 'who is asking (or CORPGRID_KEY)')
    .option('--json', 'one JSON document on stdout');
}

/** A job is a success when it is done; any other end is a failure of the work. */
function exitFor(summary: JobSummary): void {
  if (summary.state === 'failed' || summary.state === 'cancelled') process.exitCode = EXIT.failed;
}

function sayJob(job: JobSummary): void {
  const settled = job.counts.sealed + job.counts.provisional;
  say(`${job.name} (${job.id})`);
  say(
    `  ${job.state}: ${settled} of ${job.shards} shards agreed, ${job.votes} votes, ${job.maxError === undefined ? `quorum ${job.quorum}` : `error at most ${job.maxError}`}${job.verified ? '' : ' (unverified: nobody checked the results)'}`,
  );
  for (const { reason, shards } of job.reasons) say(`  ${shards} shard${shards === 1 ? '' : 's'}: ${reason}`);
}

function sayWhy({ pending, text, reasons, eligible, devices }: WhyPending): void {
  say(`${pending} shard${pending === 1 ? '' : 's'} pending: ${text}`);
  if (reasons.length === 0) return;
  sayTable(['DEVICES', 'REASON', ''], [...reasons.map((r) => [r.devices, r.reason, r.text]), [eligible, 'eligible', `of ${devices}`]]);
}

export function jobCommands(program: Command): void {
  withGrid(
    program
      .command('submit')
      .argument('<spec>', 'job file (YAML or JSON)')
      .description('submit the jobs of a file and follow them to their ends'),
  )
    .option('--name <name>', 'another name than the job file’s')
    .option('--quorum <n>', 'another quorum than the job file’s')
    .option('--root <dir>', 'another folder of input files than the job file’s')
    .option('--no-wait', 'answer as soon as the grid has it')
    .action(async (file: string, options: SubmitOptions) => {
      const { submitJobFile } = await import('#bin/client/submit-job.ts');
      const client = clientOf(options);
      const quorum = options.quorum === undefined ? {} : { quorum: parseWhole(options.quorum, '--quorum', 1, 9) };
      const name = options.name === undefined ? {} : { name: options.name };
      const root = options.root === undefined ? {} : { root: path.resolve(options.root) };
      const submitted = await submitJobFile(client, file, { ...name, ...quorum, ...root });
      const summaries: JobSummary[] = [];
      for (const job of submitted) summaries.push(options.wait ? await followJob(client, job.id) : job);
      if (options.json) sayJson(summaries.length === 1 ? summaries[0] : { jobs: summaries });
      else for (const summary of summaries) sayJob(summary);
      for (const summary of summaries) exitFor(summary);
    });

  withGrid(program.command('jobs').argument('[id]', 'one job').description('list jobs, or show one'))
    .option('--limit <n>', 'how many', '50')
    .option('--why', 'why its shards wait, with the devices counted by reason')
    .option('--shard <n>', 'with --why: of this shard')
    .action(async (id: string | undefined, options: GridOptions & { limit: string; why?: boolean; shard?: string }) => {
      const client = clientOf(options);
      if (options.why === true || options.shard !== undefined) {
        if (id === undefined) throw new GridError('BAD_REQUEST', 'which job?', { path: 'ID', fix: 'corpgrid jobs ID --why' });
        const index = options.shard === undefined ? undefined : parseWhole(options.shard, '--shard', 0, 1_000_000);
        const why = await client.why(id, index);
        return options.json ? sayJson(why) : sayWhy(why);
      }
      if (id !== undefined) {
        const job = await client.job(id);
        if (options.json) return sayJson(job);
        return sayJob(job);
      }
      const jobs = await client.jobs(parseWhole(options.limit, '--limit', 1, 1_000));
      if (options.json) return sayJson(jobs);
      if (jobs.length === 0) return say('no jobs yet; try: corpgrid submit examples/word-count/job.yaml');
      sayTable(
        ['ID', 'NAME', 'STATE', 'AGREED', 'SHARDS', 'QUORUM', 'SUBMITTED BY'],
        jobs.map((j) => [j.id, j.name, j.state, j.counts.sealed + j.counts.provisional, j.shards, j.quorum, j.submittedBy]),
      );
    });

  withGrid(program.command('results').argument('<id>').description('fetch outputs and receipts of a job'))
    .requiredOption('--out <dir>', 'folder to write to')
    .action(async (id: string, options: GridOptions & { out: string }) => {
      const written = await fetchResults(clientOf(options), id, path.resolve(options.out));
      if (options.json) sayJson(written);
      else say(`${written.outputs} outputs and ${written.receipts} receipts in ${written.folder}`);
    });

  for (const action of ['cancel', 'pause', 'resume'] as const) {
    withGrid(program.command(action).argument('<id>').description(`${action} a job`)).action(async (id: string, options: GridOptions) => {
      const job = await clientOf(options).control(id, action);
      if (options.json) sayJson(job);
      else sayJob(job);
    });
  }
}

/** Outputs as `shard-000123`, the merged one as `result`, receipts as one JSON file. */
async function fetchResults(
  client: GridClient,
  id: string,
  folder: string,
): Promise<{ folder: string; outputs: number; receipts: number }> {
  const job = await client.job(id);
  if (job.state !== 'done') {
    throw new GridError('CONFLICT', `job ${id} is ${job.state}: results are final once it is done`, {
      fix: 'wait for it: `corpgrid jobs ID` shows its progress',
    });
  }
  await mkdir(folder, { recursive: true });
  const outputs = await client.outputs(id);
  for (const { index } of outputs) {
    const merged = job.hasMerge && index === job.shards - 1;
    const response = await client.output(id, index);
    const name = merged ? 'result' : `shard-${String(index).padStart(6, '0')}`;
    if (response.body === null) await writeFile(path.join(folder, name), '');
    else await pipeline(Readable.fromWeb(response.body), createWriteStream(path.join(folder, name)));
  }
  const receipts = await client.receipts(id);
  await writeFile(path.join(folder, 'receipts.json'), `${JSON.stringify(receipts, null, 1)}\n`);
  return { folder, outputs: outputs.length, receipts: receipts.length };
}
