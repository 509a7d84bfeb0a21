import { readFile, rename, writeFile } from 'node:fs/promises';

import type { Command } from 'commander';

import { SignedKeyList } from '#actors/contract/former-keys.ts';
import { growthProblem, headProblem, LogGrowth, SignedHead } from '#actors/contract/manifest-log.ts';
import { EXIT, say, sayJson } from '#bin/client/print.ts';
import { GridError } from '#runtime/errors.ts';
import { sha256 } from '#runtime/identity/digest.ts';
import { verify } from '#runtime/identity/verify.ts';

import { withGrid } from './job-commands.ts';
import { clientOf, type GridOptions } from './settings.ts';

const tools = { sha256, verify };

/** Null when there is no such file yet. */
async function readKept(file: string): Promise<SignedHead | null> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new GridError('BAD_REQUEST', `cannot read ${file}`, { path: '--kept', cause: error });
  });
  if (text === null) return null;
  try {
    return SignedHead.parse(JSON.parse(text));
  } catch (cause) {
    throw new GridError('BAD_REQUEST', `${file} is not a head that \`corpgrid log\` kept`, {
      path: '--kept',
      fix: 'name another file',
      cause,
    });
  }
}

/** All of it or nothing: a file that was cut short would look like a log that was cut. */
async function keep(file: string, head: SignedHead): Promise<void> {
  await writeFile(`${file}.new`, `${JSON.stringify(head, null, 2)}\n`);
  await rename(`${file}.new`, file);
}

async function saveKeys(file: string, answer: unknown, options: GridOptions): Promise<void> {
  const signed = SignedKeyList.parse(answer);
  await writeFile(file, `${JSON.stringify(signed, null, 2)}\n`);
  if (options.json) sayJson(signed);
  else say(`${signed.list.keys.length} former keys, signed by ${signed.list.gridKey}`);
}

export function logCommand(program: Command): void {
  withGrid(program.command('log').description('the log of sealed jobs: shows its head, and checks that nothing was changed in it'))
    .option('--kept <file>', 'the head that was seen last: the log must contain all that it had then; the file then keeps the new one')
    .option('--keys <file>', 'write the keys that are no device’s any more, signed, for `corpgrid verify --keys`')
    .action(async (options: GridOptions & { kept?: string; keys?: string }) => {
      const client = clientOf(options);
      if (options.keys !== undefined) return saveKeys(options.keys, await client.get('/api/log/keys'), options);
      const kept = options.kept === undefined ? null : await readKept(options.kept);
      const growth = kept === null ? null : LogGrowth.parse(await client.get(`/api/log/growth?from=${kept.head.size}`));
      const log = growth?.log ?? SignedHead.parse(await client.get('/api/log'));
      const problem = kept === null || growth === null ? headProblem(log, log.head.gridKey, verify) : growthProblem(kept, growth, tools);
      if (options.json) sayJson({ ok: problem === null, problem, log, from: kept?.head.size ?? null });
      else {
        say(`${log.head.size} sealed jobs, root ${log.head.root}, signed by ${log.head.gridKey}`);
        if (problem !== null) say(`NOT in order: ${problem}`);
        else if (kept !== null) say(`contains all ${kept.head.size} that it had before`);
      }
      if (problem !== null) process.exitCode = EXIT.failed;
      else if (options.kept !== undefined) await keep(options.kept, log);
    });
}
