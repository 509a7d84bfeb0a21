import { spawn } from 'node:child_process';

/**
 * The word table of the same files as a POSIX pipeline makes it: no line of ours takes part. `awk 1` ends a file's last
 * line, so that no word spans two files. Needs find, awk, tr, sort and uniq.
 */
export async function wordTableByPipeline(root: string, pattern: string): Promise<string> {
  const script = String.raw`find "$1" -type f -name "$2" -print0 | xargs -0 awk 1 | LC_ALL=C tr 'A-Z' 'a-z' | LC_ALL=C tr -cs 'a-z' '\n' \
    | LC_ALL=C sort | LC_ALL=C uniq -c | awk 'NF == 2 { print $2 "\t" $1 }'`;
  // Bytes that are no valid text must pass through awk unharmed.
  const child = spawn('sh', ['-c', script, 'word-table', root, pattern], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, LC_ALL: 'C' },
  });
  let table = '';
  child.stdout.on('data', (chunk: Buffer) => void (table += chunk.toString('latin1')));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`the pipeline ended with ${code}`);
  return table;
}

/** The first line in which two tables differ; null when they are equal. */
export function firstDifference(ours: string, theirs: string): string | null {
  if (ours === theirs) return null;
  const a = ours.split('\n');
  const b = theirs.split('\n');
  const line = a.findIndex((text, i) => text !== b[i]);
  return `line ${line + 1}: ${JSON.stringify(a[line])} here, ${JSON.stringify(b[line])} by the pipeline`;
}
