import type { JobSummary } from '#actors/contract/live.ts';

/**
 * How a person gets at a job's results: one file to download (the merge's output, or the only shard's), or many, which
 * the command line fetches into a folder.
 */
export type Results =
  | { readonly kind: 'merged' }
  | { readonly kind: 'single'; readonly shard: 0 }
  | { readonly kind: 'many'; readonly command: string };

export function resultsOf(job: Pick<JobSummary, 'id' | 'name' | 'shards' | 'hasMerge'>): Results {
  if (job.hasMerge) return { kind: 'merged' };
  if (job.shards === 1) return { kind: 'single', shard: 0 };
  return { kind: 'many', command: `npm run corpgrid -- results ${job.id} --out ${fileNameOf(job.name)}` };
}

/** A job's name as a file name that needs no quoting in any shell. */
export function fileNameOf(name: string): string {
  return name.replaceAll(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[-.]+/, '') || 'job';
}
