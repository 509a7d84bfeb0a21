import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { JobSummary } from '#actors/contract/live.ts';
import { Receipt } from '#actors/contract/receipt.ts';
import { followJob } from '#bin/client/follow-job.ts';
import { submitJobFile } from '#bin/client/submit-job.ts';
import type { Grid } from '#tests/support/grid.ts';

/** What the demo reports of one job. */
export interface JobReport {
  readonly id: string;
  readonly shards: number;
  readonly votes: number;
  readonly agents: number;
  readonly seconds: number;
  readonly receiptsVerified: number;
  /** Fewest agreeing votes of different devices that any shard has. */
  readonly fewestVotes: number;
  readonly check: 'passed' | 'failed';
  readonly detail: string;
}

export interface FinishedJob {
  readonly summary: JobSummary;
  readonly folder: string;
  readonly files: string;
  readonly report: Omit<JobReport, 'check' | 'detail'>;
}

/** Submits a job file, follows it, fetches outputs and receipts, and has another process verify the receipts offline. */
export async function runJob(grid: Grid, file: string, root: string | undefined, note: (text: string) => void): Promise<FinishedJob> {
  const started = performance.now();
  let files = '';
  const [submitted] = await submitJobFile(grid.client, file, root === undefined ? {} : { root }, (text) => void (files = text));
  if (submitted === undefined) throw new Error(`${file} has no job`);
  const summary = await followJob(grid.client, submitted.id, () => {});
  const seconds = (performance.now() - started) / 1000;
  if (summary.state !== 'done')
    throw new Error(`job ${summary.name} is ${summary.state}: ${summary.reasons.map((r) => r.reason).join('; ')}`);

  const folder = path.join(grid.folder, 'results', summary.id);
  const fetched = await grid.corpgrid('results', summary.id, '--out', folder, '--json');
  if (fetched.code !== 0) throw new Error(`results: ${fetched.stderr}`);
  const receiptFile = path.join(folder, 'receipts.json');
  const verified = await grid.corpgrid('verify', receiptFile, '--grid-key', grid.gridKey, '--json');
  const { valid, invalid } = JSON.parse(verified.stdout) as { valid: number; invalid: number };
  if (verified.code !== 0 || invalid > 0) throw new Error(`${invalid} receipts are not valid: ${verified.stderr}`);

  const receipts = Receipt.array().parse(JSON.parse(await readFile(receiptFile, 'utf8')));
  const voters = receipts.map((r) => new Set(r.leaf.votes.map((v) => v.device)));
  const agents = new Set(voters.flatMap((v) => [...v])).size;
  const fewestVotes = Math.min(...voters.map((v) => v.size));
  note(`${summary.shards} shards, ${summary.votes} votes, ${agents} agents, ${valid} receipts verified`);
  return {
    summary,
    folder,
    files,
    report: {
      id: summary.id,
      shards: summary.shards,
      votes: summary.votes,
      agents,
      seconds: round(seconds),
      receiptsVerified: valid,
      fewestVotes,
    },
  };
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}
